"""A crawler with the standard library patched: `requests` knows nothing of greenlets, and yet they fetch at once."""

from gevent import monkey

monkey.patch_all()

import time

import gevent
import requests
from gevent.pywsgi import WSGIServer

PAGES = {"/bread": 1_200, "/cheese": 34_000, "/wine": 560_000}


def site(environ, start_response):
    """Each page takes half a second, as pages do that come from afar."""
    time.sleep(0.5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * PAGES[environ["PATH_INFO"]]]


def size(url):
    return len(session.get(url, timeout=30).content)


server = WSGIServer(("127.0.0.1", 0), site, log=None)
server.start()
session = requests.Session()
session.trust_env = False  # there is no proxy between this machine and itself

start = time.perf_counter()
fetches = {page: gevent.spawn(size, f"http://127.0.0.1:{server.server_port}{page}") for page in PAGES}
gevent.joinall(fetches.values(), raise_error=True)
for page, fetch in fetches.items():
    print(f"{page}: {fetch.value} bytes")
print(f"{len(fetches)} pages in {time.perf_counter() - start:.2f} s")
server.stop()
