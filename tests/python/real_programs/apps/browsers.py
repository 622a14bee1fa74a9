"""Locust's users: of one kind on requests, of the other on geventhttpclient."""

# mypy: ignore-errors

import underneath
from locust import FastHttpUser, HttpUser, constant, events, task


@events.init.add_listener
def look_underneath(**_: object) -> None:
    assert underneath.is_greenloom()


class Browser(HttpUser):
    wait_time = constant(0)

    @task
    def look(self) -> None:
        self.client.get("/by requests", name="requests")


class FastBrowser(FastHttpUser):
    wait_time = constant(0)

    @task
    def look(self) -> None:
        self.client.get("/by-geventhttpclient", name="geventhttpclient")
