import unittest

from routes import route


class RouteTest(unittest.TestCase):
    def test_routes(self) -> None:
        self.assertEqual([route(path) for path in ("/", "/notes/1", "")], ["index", "notes", "index"])
