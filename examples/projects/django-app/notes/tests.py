from django.test import TestCase

from notes.models import Note


class IndexTest(TestCase):
    def test_newest_note_comes_first(self) -> None:
        Note.objects.create(text="first")
        Note.objects.create(text="second")
        response = self.client.get("/", secure=True)
        self.assertEqual(response.json(), {"notes": ["second", "first"]})

    def test_plain_http_is_sent_to_https(self) -> None:
        self.assertRedirects(self.client.get("/"), "https://testserver/", 301, fetch_redirect_response=False)
