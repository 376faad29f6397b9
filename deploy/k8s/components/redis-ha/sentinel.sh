#!/bin/sh
# A sentinel. It watches the master that the other sentinels name, or pod 0 of the queue if none of them answers.
# Needs: POD_NAME, DOMAIN (of the sentinels' pods), SENTINELS (their hosts), QUEUE (host of pod 0), REDIS_PASSWORD.
set -eu
own="$POD_NAME.$DOMAIN"
master=
for host in $SENTINELS; do
    [ "$host" != "$own" ] || continue
    master=$(timeout 3 redis-cli -h "$host" -p 26379 sentinel get-master-addr-by-name queue 2>/dev/null | head -n 1) || master=
    [ -z "$master" ] || break
done
: "${master:=$QUEUE}"
umask 077
cat > /data/sentinel.conf <<CONFIGURATION
port 26379
dir /data
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $own
sentinel monitor queue $master 6379 2
sentinel auth-pass queue $REDIS_PASSWORD
sentinel down-after-milliseconds queue 5000
sentinel failover-timeout queue 30000
sentinel parallel-syncs queue 1
CONFIGURATION
exec redis-server /data/sentinel.conf --sentinel
