"""Gives the stores of scores of a gateway under test as long as a busy machine takes."""

from gateway.serving.score_cache import building
from gateway.serving.score_cache.stores import claim_rule, redis_clients, score_store

building.SHARED_READ_SECONDS = 60.0
claim_rule.PAYS_ROUND_TRIPS = 0
claim_rule.WAITED_SHARE = 10
claim_rule._LIFETIMES = 20
redis_clients._SOCKET_SECONDS = 60.0
score_store._WORK_SECONDS = 60.0
