#!/bin/sh
# Patroni, with its passwords from files.
set -eu
PATRONI_SUPERUSER_PASSWORD="$(cat /run/secrets/superuser_password)"
PATRONI_REPLICATION_PASSWORD="$(cat /run/secrets/replication_password)"
export PATRONI_SUPERUSER_PASSWORD PATRONI_REPLICATION_PASSWORD
exec patroni /etc/patroni/patroni.yaml
