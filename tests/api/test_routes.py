"""What every route has in common, and those that need no award."""

import re

import pytest
from fastapi.routing import APIRoute

from api import problems
from api.app import create_app
from api.settings import Settings
from tests.api import story
from tests.api.story import AWARD, Service, slug

NAMES = {"award": AWARD, "claim": "2021-Q3", "assessment": "1", "payer": "GB-LAE-KIR", "version": "2", "run": "R-1"}


class TestEveryRoute:
    async def test_wants_a_key_and_answers_as_it_says(self, service: Service) -> None:
        for number, (path, operations) in enumerate(service.app.openapi()["paths"].items()):
            address = re.sub(r"\{(\w+)\}", lambda found: NAMES.get(found[1], "unknown"), path)
            for method, operation in operations.items():
                for holder in (service.nobody, service.first, service.vera, service.abe, service.ivo):
                    headers = {"Idempotency-Key": f"tried-{number}"} if method != "get" else {}
                    answer = await holder.ask(method.upper(), address, headers=headers)
                    assert answer.status_code < 500, answer.text
                    if holder is service.nobody and operation.get("security"):
                        assert slug(answer)[0] == 401

    @pytest.mark.parametrize("path", ["/v1/awards/%24%24", "/v1/awards/%00", "/v1/nowhere", "/v1/awards/", "/"])
    async def test_is_not_there_under_another_name(self, service: Service, path: str) -> None:
        assert (await service.first.get(path)).status_code == 404

    async def test_takes_no_other_method(self, bare: Service) -> None:
        assert slug(await bare.http.put("/v1/awards")) == (405, "method-not-taken")


class TestRoutes:
    def test_are_made_once_whatever_number_of_applications_has_them(self) -> None:
        """Most of what a command takes on the command line went into making routes of which it needs one."""
        one, other = (create_app(Settings()).router.routes for _ in range(2))
        made = [route for route in one if isinstance(route, APIRoute)]
        assert len(made) > 100
        assert all(any(route is each for each in other) for route in made)


class TestProblems:
    async def test_are_explained_at_their_address(self, bare: Service) -> None:
        assert (await bare.http.get("/problems/approver-took-part")).json()["status"] == 403
        assert (await bare.http.get("/problems/none-such")).status_code == 404

    def test_have_each_a_name_of_their_own(self) -> None:
        kinds = set(problems.known())
        assert len({kind.slug() for kind in kinds}) == len(kinds)


class TestHealth:
    async def test_is_open_to_all(self, bare: Service) -> None:
        assert (await bare.http.get("/health/live")).json() == {"live": True}
        assert (await bare.http.get("/v1/health/live")).json() == {"live": True}
        ready = (await bare.http.get("/v1/health/ready")).json()
        assert (ready["ready"], ready["log_writable"], ready["triggers_present"]) == (True, True, True)

    async def test_is_counted_by_route(self, service: Service) -> None:
        await story.submit(service)
        numbers = (await service.audrey.get("/v1/metrics")).text
        assert 'route="/v1/awards/{award}/claims",status="201"} 1.0' in numbers
