import pytest

from subsecond.cache.timebound import LONGEST, timebound


@pytest.mark.parametrize(
    "text",
    [
        "What's the weather in Lima?",
        "Will it rain tomorrow?",
        "What time is it in Tokyo?",
        "what is the date",
        "What is the price of gold?",
        "bitcoin price",
        "What's the exchange rate of the euro?",
        "Who is winning the match?",
        "Any news on the strike?",
        "Is the shop open right now?",
        "Is the shop open now?",
        "What is the latest version of Blender?",
        "Which films are on this week?",
        "Who is the current president of Peru?",
        "Is the 9:15 train on time? What is the status of it?",
    ],
)
def test_a_question_of_the_moment(text):
    assert timebound(text)


@pytest.mark.parametrize(
    "text",
    [
        "How do I open a current account?",
        "What is the price for members?",
        "How do I write a news article?",
        "How long do I roast a duck?",
        "What is the time complexity of quicksort?",
        "What is an electric current?",
        "Who was the first president of Peru?",
        "How do I reset my password?",
        "I know now how to cook, but what is a roux?",
    ],
)
def test_a_question_for_any_day(text):
    assert not timebound(text)


def test_a_long_text_is_read_at_its_ends():
    filler = "a quiet sentence. " * LONGEST
    assert timebound(f"What is the weather? {filler}")
    assert timebound(f"{filler} What is the weather?")
