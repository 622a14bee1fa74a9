"""As `postgres`, with a query that takes the server 50 ms: what waiting costs."""

import drivers
import postgres
from measure import ask

CONNECTIONS = 100
# Most of it is sleep.
SHARE = 10

if __name__ == "__main__":
    asked = ask(number=CONNECTIONS)
    # What a function returns that returns nothing: nothing, as text, or no value.
    answer = None if postgres.uses_tasks(asked) else ""
    drivers.timed(asked, postgres.prepare(asked, "select pg_sleep(0.05)", answer), share=SHARE)
