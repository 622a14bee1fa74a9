"""What the programs want of a driver, the same of each: connect, and ask for an answer that takes its time."""

# mypy: ignore-errors
from urllib.parse import parse_qs, urlsplit


class Psycopg2:
    def __init__(self, url):
        import psycopg2

        self.url, self.Error, self._connect = url, psycopg2.Error, psycopg2.connect

    def connect(self):
        connection = self._connect(self.url)
        connection.autocommit = True
        return connection

    def ask(self, connection, number, seconds):
        """Return ``number``, after so many seconds."""
        with connection.cursor() as cursor:
            cursor.execute("select %s::int from pg_sleep(%s)", (number, seconds))
            return cursor.fetchone()[0]


class Psycopg(Psycopg2):
    def __init__(self, url):
        import psycopg

        assert psycopg.pq.__impl__ == "binary"
        self.url, self.Error, self._connect = url, psycopg.Error, psycopg.connect


class Mysqlclient:
    def __init__(self, url):
        import MySQLdb

        split = urlsplit(url)
        self.Error, self._module = MySQLdb.Error, MySQLdb
        self._where = {name: values[0] for name, values in parse_qs(split.query).items()}
        if split.port:
            self._where |= {"host": split.hostname, "port": split.port}
        self._who = {"user": split.username, "database": split.path.strip("/")}

    def connect(self):
        return self._module.connect(**self._where, **self._who)

    def ask(self, connection, number, seconds):
        with connection.cursor() as cursor:
            cursor.execute("select %s + sleep(%s)", (number, seconds))
            return int(cursor.fetchone()[0])


class Pycurl:
    """Its connection is a handle, which connects when it is asked and as often as it has to."""

    def __init__(self, url):
        import pycurl

        self.url, self.Error, self.connect = url, pycurl.error, pycurl.Curl

    def ask(self, handle, number, seconds):
        body = []
        handle.setopt(handle.URL, f"{self.url}/{number}/{seconds}")
        handle.setopt(handle.WRITEFUNCTION, body.append)
        handle.perform()
        return int(b"".join(body))


BY_NAME = {kind.__name__.lower(): kind for kind in (Psycopg2, Psycopg, Mysqlclient, Pycurl)}
