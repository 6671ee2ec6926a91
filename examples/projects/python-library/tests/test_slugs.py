import pytest

from slugs import slug


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("Hello, World!", "hello-world"),
        ("  Crème brûlée  ", "creme-brulee"),
        ("a -- b", "a-b"),
        ("", ""),
    ],
)
def test_slugs(title: str, wanted: str) -> None:
    assert slug(title) == wanted


def test_a_slug_does_not_end_in_a_hyphen() -> None:
    assert slug("one two three", limit=8) == "one-two"
