#!/bin/sh
# A node of the queue: a replica of whom the sentinels call the master, or that master itself. Where no sentinel
# answers, as at the first start of all, pod 0 is the master.
# Wants: POD_NAME, DOMAIN (of this StatefulSet's pods), SENTINELS (their hosts), REDIS_PASSWORD.
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
# The configuration comes over standard input, so that no list of processes shows the password.
exec redis-server - <<CONFIGURATION
dir /data
appendonly yes
appendfsync everysec
maxmemory 256mb
maxmemory-policy noeviction
requirepass $REDIS_PASSWORD
masterauth $REDIS_PASSWORD
replica-announce-ip $own
# A master that was cut off acknowledges nothing that its successor would not know.
min-replicas-to-write 1
min-replicas-max-lag 10
$replicaof
CONFIGURATION
