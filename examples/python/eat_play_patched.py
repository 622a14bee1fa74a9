"""The standard `time.sleep`, patched: it lets other greenlets run, and each of them is a thread to `threading`."""

from gevent import monkey

monkey.patch_all()

import threading
import time

import gevent


def say(what):
    print(f"{threading.current_thread().name}: {what}")


def eat():
    say("eat 1")
    time.sleep(0.4)
    say("eat 2")


def play():
    say("play 1")
    time.sleep(0.2)
    say("play 2")


gevent.joinall([gevent.spawn(eat), gevent.spawn(play)])
say("done")
