"""Texts in other languages: what stands in front of a word, how a verb ends, capitals and politeness mean nothing.
Where capitals mean another person they do."""

import pytest

from subsecond.semantic.guards.abroad import same


def alike(one, other):
    assert same(one, other) == same(other, one)
    return same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Como posso ver o saldo do meu cartão?", "Como posso ver o saldo de o meu cartão?"),
        ("Onde fica a porta da casa?", "Onde fica a porta de a casa?"),
        ("Onde fica a lista dos nomes?", "Onde fica a lista de os nomes?"),
        ("Onde fica a lista das casas?", "Onde fica a lista de as casas?"),
        ("¿Dónde está la sede del banco?", "¿Dónde está la sede de el banco?"),
        ("¿Cómo puedo ir al banco?", "¿Cómo puedo ir a el banco?"),
        ("Dove si trova la sede del partito?", "Dove si trova la sede di il partito?"),
        ("Dove si trova la sede dello stato?", "Dove si trova la sede di lo stato?"),
        ("Dove si trova la sede della banca?", "Dove si trova la sede di la banca?"),
        ("Dove si trova la lista dei nomi?", "Dove si trova la lista di i nomi?"),
        ("Dove si trova la lista delle case?", "Dove si trova la lista di le case?"),
    ],
)
def test_a_preposition_may_be_written_apart_from_its_article(one, other):
    assert alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Wie kann ich mein Passwort ändern?", "Wie ändere ich mein Passwort?"),
        ("Wie kann ich das Konto löschen?", "Wie lösche ich das Konto?"),
        ("Wie kann man das Konto löschen?", "Wie löscht man das Konto?"),
        ("¿Cómo puedo cambiar mi nombre?", "¿Cómo cambio mi nombre?"),
        ("¿Cómo puedo vender mi coche?", "¿Cómo vendo mi coche?"),
        ("¿Cómo puedo abrir una cuenta?", "¿Cómo abro una cuenta?"),
        ("Come posso cambiare il mio nome?", "Come cambio il mio nome?"),
        ("Come posso vendere la mia casa?", "Come vendo la mia casa?"),
        ("Come posso aprire un conto?", "Come apro un conto?"),
        ("Como posso mudar o meu nome?", "Como mudo o meu nome?"),
        ("Como posso vender o meu carro?", "Como vendo o meu carro?"),
        ("Como posso abrir uma conta?", "Como abro uma conta?"),
    ],
)
def test_how_i_can_do_it_is_how_i_do_it(one, other):
    assert alike(one, other)
    assert not alike(one, other.replace("?", " morgen?"))


@pytest.mark.parametrize(
    ("one", "other", "means_the_same"),
    [
        ("Haben Sie Zeit für ihn?", "Haben sie Zeit für ihn?", False),
        ("haben sie zeit", "haben Sie zeit", False),
        ("HABEN SIE ZEIT", "haben sie zeit", True),
        ("come sta lei", "come sta Lei", False),
        ("Wo ist das Große Haus?", "Wo ist das Grosse Haus?", True),
        ("wo ist das große haus", "Wo ist das Große Haus", True),
        ("Wo ist das große Haus?", "Wo ist das Große Haus?", False),
    ],
)
def test_capitals_mean_nothing_where_a_text_has_none_and_a_person_where_they_do(one, other, means_the_same):
    assert alike(one, other) == means_the_same


ASKED = "Wo ist der Bahnhof"


@pytest.mark.parametrize("polite", ["Bitte", "Vielen Dank", "Guten Tag", "S'il te plaît", "Por favor", "Danke, bitte"])
def test_politeness_at_either_end_means_nothing(polite):
    assert alike(f"{ASKED}?", f"{polite}, wo ist der Bahnhof?")
    assert alike(f"{ASKED}?", f"{ASKED}? {polite}!")
    assert alike(f"{ASKED}?", f"{polite}: {ASKED}, {polite}")


def test_politeness_inside_may_be_what_is_asked_about():
    assert not alike("Was heißt danke auf Polnisch?", "Was heißt auf Polnisch?")


@pytest.mark.parametrize("end", ["", ".", "!", "?", "\u2026", "\uff1f", "\u3002"])
def test_what_ends_a_sentence_means_nothing_and_other_signs_do(end):
    assert alike(ASKED, f"{ASKED}{end}")
    assert not alike(ASKED, f"{ASKED}{end} +")


def test_a_text_of_signs_alone_is_the_same_as_itself():
    assert alike("?", "?")
    assert not alike("?", "!")
    assert not alike("", "?")
