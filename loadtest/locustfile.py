"""Load on a gateway, at rates that do not depend on its answers (docs/load-testing.md).

    locust -f loadtest/locustfile.py --headless --host http://127.0.0.1:8080 --shape smoke

Locust runs it: alone, as a master, or as one of its workers.
"""

import sys
import time
import uuid
from argparse import ArgumentParser
from typing import Any, Final

from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadtest.arrivals import Share
from loadtest.open_loop import LEAD_S, OpenLoop
from loadtest.options import Plan, add_options, require_host
from loadtest.preflight import check_collections
from loadtest.queries.log import QueryLog, read_queries
from loadtest.record import Record
from loadtest.report import report_lines, write_report
from loadtest.scenarios.journey import Shop
from loadtest.scenarios.picturing import draw_pictures
from loadtest.shapes import LoadRefused
from loadtest.shopper import Shopper
from loadtest.summary import Summary
from loadtest.thresholds import Thresholds, check

# Here, before Locust forks workers and connects them: a worker that draws does not answer its master.
_PICTURES: Final = draw_pictures(16, seed=0)
_BEGIN: Final = "begin"
_SLACK_S: Final = 5.0
_SPAWNED_PER_S: Final = 100.0
"""Above that Locust warns."""
_STATUS_BROKEN: Final = 1
_STATUS_REFUSED: Final = 2


class Course(LoadTestShape):
    """Says how many users there are, and when it is over. The rate is the schedule's."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: Plan | None = None
        self.record = Record()
        self.begun_at: float | None = None
        self.ended_at: float | None = None
        self.processes = 1

    def tick(self) -> tuple[int, float] | None:
        """As many users as requests may be under way, until the last of them has had its answer."""
        assert self.plan is not None and self.runner is not None, "set before Locust asks"  # noqa: PT018, S101
        if self.begun_at is not None and self._is_over(self.second(), self.plan):
            return None
        return self.plan.in_flight, _SPAWNED_PER_S

    def begin(self) -> bool:
        """Starts the clock; False when it runs already, because Locust spawned users once more."""
        if self.begun_at is not None:
            return False
        self.begun_at = time.monotonic()
        return True

    def end(self, **_: Any) -> None:
        """Stops the clock."""
        self.ended_at = time.monotonic()

    def second(self) -> float:
        """Of the schedule, now or at its end; below 0 before its first moment."""
        now = time.monotonic() if self.ended_at is None else self.ended_at
        return -1.0 if self.begun_at is None else now - self.begun_at - LEAD_S

    def _is_over(self, second: float, plan: Plan) -> bool:
        # Users leave when the schedule is at its end; one that does not is in a request, which has a limit of its own.
        served = second > plan.seconds and self.get_current_user_count() == 0
        limit = plan.seconds + plan.patience_s + plan.timeout_s + _SLACK_S
        return served or second > limit or (plan.shape.until_saturated and self._is_saturated(second, plan))

    def _is_saturated(self, second: float, plan: Plan) -> bool:
        """A stage that the server did not follow is over, and so is the time in which its last answers could come."""
        ended, stages = 0.0, []
        for stage in plan.stages:
            ended += stage.seconds
            if ended + plan.patience_s + _SLACK_S > second:
                break
            stages.append(stage)
        return not all(figures.kept_up for figures in Summary(stages, self.record, 0.0).stages)


@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser) -> None:
    add_options(parser)


@events.init.add_listener
def _prepare(environment: Environment, runner: Runner, **_: Any) -> None:
    """Wires this process: what is asked, who counts, and what begins it."""
    if isinstance(runner, WorkerRunner):
        _wire_worker(environment, runner)
        return
    try:
        plan = Plan.of(environment.parsed_options)
        thresholds = plan.thresholds()
        environment.host = require_host(environment.host, allow_remote=environment.parsed_options.allow_remote)
        check_collections(environment.host, plan)
    except LoadRefused as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(_STATUS_REFUSED)
    course = environment.shape_class
    assert isinstance(course, Course), "the only shape in this file"  # noqa: S101
    course.plan = plan
    if isinstance(runner, MasterRunner):
        _wire_master(environment, runner, course)
    else:
        _wire_alone(environment, course, plan)
    events.test_stopping.add_listener(course.end)
    events.quitting.add_listener(lambda **_: _finish(environment, course, plan, thresholds))


def _wire_alone(environment: Environment, course: Course, plan: Plan) -> None:
    loop = _open(plan)
    course.record = loop.record

    def begin(**_: Any) -> None:
        if course.begin():
            loop.begin(_shop(plan), Share())

    environment.events.spawning_complete.add_listener(begin)


def _wire_master(environment: Environment, runner: MasterRunner, course: Course) -> None:
    def begin(**_: Any) -> None:
        if not course.begin():
            return
        workers = [worker.id for worker in [*runner.clients.running, *runner.clients.spawning, *runner.clients.ready]]
        course.processes = len(workers)  # at the end they may be gone
        for index, worker in enumerate(workers):
            runner.send_message(_BEGIN, {"index": index, "count": len(workers)}, worker)

    def add(data: dict[str, Any], **_: Any) -> None:
        if "loadtest" in data:
            course.record.merge(Record.from_message(data["loadtest"]))

    environment.events.spawning_complete.add_listener(begin)
    environment.events.worker_report.add_listener(add)


def _wire_worker(environment: Environment, runner: WorkerRunner) -> None:
    loops: list[tuple[Plan, OpenLoop]] = []

    def prepare(**_: Any) -> None:
        plan = Plan.of(environment.parsed_options)  # the master's, which came with the order to spawn
        loops[:] = [(plan, _open(plan))]

    def begin(msg: Any, **_: Any) -> None:
        ((plan, loop),) = loops
        loop.begin(_shop(plan), Share(msg.data["index"], msg.data["count"]))

    def tell(data: dict[str, Any], **_: Any) -> None:
        for _plan, loop in loops:
            data["loadtest"] = loop.record.take_message()

    environment.events.test_start.add_listener(prepare)
    environment.events.report_to_master.add_listener(tell)
    runner.register_message(_BEGIN, begin)


def _open(plan: Plan) -> OpenLoop:
    loop = OpenLoop(plan.stages, plan.process, plan.seed, uuid.uuid4().hex[:8])
    Shopper.prepare(plan, loop)
    return loop


def _shop(plan: Plan) -> Shop:
    return Shop(plan.collection, QueryLog(read_queries()), _PICTURES, plan.scratch, plan.facets, plan.group_by)


def _finish(environment: Environment, course: Course, plan: Plan, thresholds: Thresholds) -> None:
    """Writes the report; the exit status says whether all thresholds held, and the last lines which did not."""
    summary = Summary(plan.stages, course.record, thresholds.goodput_ms, course.second())
    checks = check(thresholds, summary)
    write_report(plan.output, plan.told(str(environment.host), course.processes), summary, checks)
    held = all(one.held for one in checks)
    environment.process_exit_code = 0 if held else _STATUS_BROKEN
    verdict = f"{'All thresholds held' if held else 'Thresholds are broken'}. The report: {plan.output}"
    # After Locust's own tables.
    events.quit.add_listener(lambda **_: print("\n".join([*report_lines(summary, checks), "", verdict])))
