"""What only a laptop needs: the simulator and model servers, the runner, the command line."""
