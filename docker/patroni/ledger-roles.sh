#!/bin/sh
# Patroni runs this once, on the first primary, with an address of its superuser: `ledger_owner` owns the tables and migrates them,
# `ledger_service` serves, and owns nothing of the log.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 \
    --set=owner="$(cat "${LEDGER_SECRETS:-/run/secrets}/owner_password")" \
    --set=service="$(cat "${LEDGER_SECRETS:-/run/secrets}/service_password")" "$1" <<'SQL'
CREATE ROLE ledger_owner LOGIN PASSWORD :'owner';
CREATE ROLE ledger_service LOGIN PASSWORD :'service';
CREATE DATABASE ledger OWNER ledger_owner;
SQL
