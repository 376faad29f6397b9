#!/bin/sh
# A node of the cache's Cluster. It owns a third of the slots, chosen by the number in its pod's name, and introduces
# itself to the other two nodes. Its volume keeps its identity, not its data: after a start it has a new address and no
# data.
# Needs: POD_NAME, DOMAIN (of this StatefulSet's pods), REDIS_PASSWORD.
set -eu
own="$POD_NAME.$DOMAIN"
number=${POD_NAME##*-}
export REDISCLI_AUTH="$REDIS_PASSWORD"

join() {
    until [ "$(redis-cli ping 2>/dev/null)" = PONG ]; do sleep 1; done
    first=$((number * 16384 / 3)) last=$(((number + 1) * 16384 / 3 - 1))
    # Redis refuses this if the node owns the slots already. A node that lost its volume is a new node to the others: it
    # needs a higher epoch than the old node to take the slots.
    if [ "$(redis-cli cluster addslotsrange "$first" "$last")" = OK ]; then redis-cli cluster bumpepoch; fi
    for _ in $(seq 60); do
        for other in 0 1 2; do
            address=$(getent hosts "${POD_NAME%-*}-$other.$DOMAIN" | cut -d ' ' -f 1) || address=
            [ "$other" = "$number" ] || [ -z "$address" ] || redis-cli cluster meet "$address" 6379 >/dev/null
        done
        sleep 5
        ! redis-cli cluster info | grep -q cluster_state:ok || ! redis-cli cluster info | grep -q cluster_size:3 || return 0
    done
}

join &
exec redis-server - <<CONFIGURATION
dir /data
save ""
appendonly no
maxmemory 2gb
maxmemory-policy allkeys-lfu
lazyfree-lazy-eviction yes
requirepass $REDIS_PASSWORD
masterauth $REDIS_PASSWORD
cluster-enabled yes
cluster-config-file nodes.conf
cluster-announce-hostname $own
cluster-preferred-endpoint-type hostname
# If one node is away, only its third of the images is missing.
cluster-require-full-coverage no
CONFIGURATION
