#!/bin/sh
# A node of the queue. It is the master if the sentinels say so, and otherwise a replica of the master. If no sentinel
# answers, as at the very first start, pod 0 is the master.
# Needs: POD_NAME, DOMAIN (of this StatefulSet's pods), SENTINELS (their hosts), REDIS_PASSWORD.
set -eu
own="$POD_NAME.$DOMAIN"
master=
for host in $SENTINELS; do
    master=$(timeout 3 redis-cli -h "$host" -p 26379 sentinel get-master-addr-by-name queue 2>/dev/null | head -n 1) || master=
    [ -z "$master" ] || break
done
: "${master:=${POD_NAME%-*}-0.$DOMAIN}"
replicaof=
[ "$master" = "$own" ] || replicaof="replicaof $master 6379"
# The configuration comes through standard input, so that the list of processes does not show the password.
exec redis-server - <<CONFIGURATION
dir /data
appendonly yes
appendfsync everysec
maxmemory 256mb
maxmemory-policy noeviction
requirepass $REDIS_PASSWORD
masterauth $REDIS_PASSWORD
replica-announce-ip $own
# A master that is cut off from its replicas must not acknowledge a job that the next master does not have.
min-replicas-to-write 1
min-replicas-max-lag 10
$replicaof
CONFIGURATION
