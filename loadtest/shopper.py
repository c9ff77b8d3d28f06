"""Locust's user: serves one arrival at a time. As many users as requests may be under way, none of them a person."""

import json
import time
from typing import ClassVar, Final

from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser, task
from locust.contrib.fasthttp import ResponseContextManager
from locust.exception import StopUser

from loadtest.open_loop import Due, OpenLoop
from loadtest.options import Plan, credentials
from loadtest.record import Outcome
from loadtest.scenarios.floor import Visitor
from loadtest.scenarios.journey import Ask, Content

_REFUSALS: Final = (429, 503)


class ArrivalDropped(Exception):
    """Nobody was free for an arrival for as long as it could wait."""


class AnswerUnfit(Exception):
    """An answer that says it is good and is not."""


class Shopper(FastHttpUser):
    """Takes the next arrival of the schedule, sleeps until it is due, asks.

    The time that Locust gets to see counts from when the request was due, so that its tables and pages show what
    somebody who came at that moment had to wait, whether or not a user was free for them.
    """

    loop: ClassVar[OpenLoop]
    plan: ClassVar[Plan]
    due: Due | None = None

    @classmethod
    def prepare(cls, plan: Plan, loop: OpenLoop) -> None:
        """For all users of this process: what they do, and one pool of connections, of which as few as possible are
        used."""
        cls.plan, cls.loop = plan, loop
        cls.client_pool = HTTPClientPool(
            concurrency=plan.in_flight, connection_timeout=plan.timeout_s, network_timeout=plan.timeout_s
        )

    def wait_time(self) -> float:
        """Seconds until the arrival that this user has taken on; Locust sleeps for so long between two tasks."""
        self.due = self.loop.take()
        if self.due is None:
            raise StopUser
        return max(0.0, -self.due.late_s())

    @task
    def serve(self) -> None:
        """Asks what is due. Locust calls this once before the first wait, when nothing is."""
        if self.due is None:
            return
        visitor = self.loop.visitor(self.due)
        if self.due.late_s() > self.plan.patience_s:
            self._drop(self.due, visitor.ask)
        else:
            self._ask(self.due, visitor)

    def _drop(self, due: Due, ask: Ask) -> None:
        self.loop.note(due, ask.endpoint, "dropped", error="dropped, all users were busy")
        self.environment.events.request.fire(
            request_type=ask.method,
            name=ask.endpoint,
            response_time=due.late_s() * 1000,
            response_length=0,
            exception=ArrivalDropped("dropped, all users were busy"),
            context={},
        )

    def _ask(self, due: Due, visitor: Visitor) -> None:
        ask, sent = visitor.ask, time.perf_counter()
        with self.client.request(
            ask.method,
            ask.path,
            name=ask.endpoint,
            data=ask.body,
            headers={"Content-Type": ask.content_type, "Accept": "application/json", **credentials()},
            catch_response=True,
            allow_redirects=False,
        ) as answer:
            service_s = time.perf_counter() - sent
            answer.request_meta["response_time"] = due.late_s() * 1000
            outcome, error, content = _judge(ask, answer)
            self.loop.note(due, ask.endpoint, outcome, service_s=service_s, error=error)
            if outcome == "good":
                answer.success()
                self.loop.goes_on(visitor, content, due)
            else:
                answer.failure(AnswerUnfit(error))


def _judge(ask: Ask, answer: ResponseContextManager) -> tuple[Outcome, str, Content]:
    """What an answer is, why it is not good, and its content."""
    status = answer.status_code
    if not status:
        return "failed", f"no answer: {type(answer.error).__name__}", {}
    try:
        content: Content = json.loads(answer.content) if answer.content else {}
    except ValueError:
        return "failed", f"{status}, and no JSON", {}
    if status in _REFUSALS and "retry-after" in answer.headers:
        return "refused", f"{status} {content.get('code')}", {}
    if not 200 <= status < 300:
        return "failed", f"{status} {content.get('code')}", {}
    if ask.finds and not content.get("hits"):
        return "failed", f"{status} without a hit", {}
    return "good", "", content
