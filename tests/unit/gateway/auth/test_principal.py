import pytest
from fastapi import Request

from vitrine.errors import CollectionNotFound
from vitrine.gateway.auth.errors import ScopeMissing, Unauthenticated
from vitrine.gateway.auth.principal import ANYBODY, Principal, Scope
from vitrine.gateway.context import RequestContext
from vitrine.gateway.dependencies import caller_of
from vitrine.telemetry.stages import StageClock

SHOP = Principal("key:shop", frozenset({Scope.SEARCH}), frozenset({"products"}))


def test_a_caller_does_what_it_may_where_it_may() -> None:
    SHOP.require(Scope.SEARCH)
    SHOP.require(Scope.SEARCH, "products")
    for scope in Scope:
        ANYBODY.require(scope, "anything")


@pytest.mark.parametrize("scope", [Scope.WRITE, Scope.ADMIN])
def test_a_missing_scope_is_told_before_whether_a_collection_exists(scope: Scope) -> None:
    for collection in (None, "products", "elsewhere"):
        with pytest.raises(ScopeMissing) as caught:
            SHOP.require(scope, collection)
        assert caught.value.details == {"scope": scope.value}


@pytest.mark.parametrize("collection", ["elsewhere", "Products", "products_v1", "", "x" * 1000])
def test_any_other_name_does_not_exist(collection: str) -> None:
    with pytest.raises(CollectionNotFound) as caught:
        SHOP.require(Scope.SEARCH, collection)
    assert caught.value.details == {"collection": collection[:200]}
    assert not SHOP.sees(collection)


def test_an_empty_list_of_collections_is_none_and_no_list_is_all() -> None:
    assert not Principal("a", frozenset(), frozenset()).sees("products")
    assert Principal("a", frozenset(), None).sees("products")


def test_a_request_that_came_around_the_gate_has_no_caller() -> None:
    scope = {"type": "http", "method": "GET", "path": "/v1/x", "headers": []}
    context = RequestContext("r", StageClock())
    context.attach(scope)
    with pytest.raises(Unauthenticated):
        caller_of(Request(scope))
    context.principal = SHOP
    assert caller_of(Request(scope)) is SHOP
