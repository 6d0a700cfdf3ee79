import pytest

from subsecond.config import Settings
from subsecond.ports import StoredQuestion
from subsecond.semantic.guards.language import english
from subsecond.semantic.policies.guarded import build

POLICY = build(Settings(caution="bold"))
FOREIGN = [
    "Wie kann ich mein Passwort ändern?",
    "Comment puis-je changer mon mot de passe ?",
    "¿Cómo puedo cambiar mi contraseña?",
    "Come posso cambiare la mia password?",
    "Como posso mudar a minha senha?",
    "Hoe kan ik mijn wachtwoord wijzigen?",
    "Как мне сменить пароль?",
    "パスワードを変更するにはどうすればいいですか",
    "كيف أغير كلمة المرور؟",
    "비밀번호를 어떻게 변경하나요?",
]


@pytest.mark.parametrize("text", [*FOREIGN, "Passwort zurücksetzen", "Contraseña olvidada", "Hasło zmień teraz"])
def test_another_language_is_told(text):
    assert not english(text)


@pytest.mark.parametrize(
    "text",
    [
        "How do I change my password?",
        "password reset",
        "Can kubectl and nginx run terraform?",
        "What does über mean?",
        "bitcoin",
        "Is a café a restaurant?",
        "2+2",
        "",
    ],
)
def test_english_is_english(text):
    assert english(text)


@pytest.mark.parametrize("text", FOREIGN)
def test_in_another_language_only_the_same_words_are_answered(text):
    assert POLICY.judge(text.rstrip("?؟ ").upper(), StoredQuestion(text, 0.95)).decision == "hit"
    verdict = POLICY.judge(f"{text[:-3]} x", StoredQuestion(text, 0.99))
    assert (verdict.decision, verdict.reasons) == ("miss", ("not English, and not the same words",))


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("Bitte, wie kann ich mein Passwort ändern?", "Wie kann ich mein Passwort ändern?"),
        ("Bonjour, comment puis-je payer le loyer ?", "Comment puis-je payer le loyer, merci"),
    ],
)
def test_politeness_in_another_language_makes_no_other_question(asked, stored):
    assert POLICY.judge(asked, StoredQuestion(stored, 0.9)).decision == "hit"


@pytest.mark.parametrize(("asked", "stored"), [("grazie", ""), ("grazie mille", "hola"), ("漢", "字"), ("bitte", "12")])
def test_texts_with_nothing_to_compare_are_not_answered(asked, stored):
    for one, other in ((asked, stored), (stored, asked)):
        assert POLICY.judge(one, StoredQuestion(other, 0.99)).decision == "miss"
