#!/bin/sh
# Run once, when the database is made: the role of the service, which `lcledger migrate --grant-to` then lets serve.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
    --set=password="$(cat "${LEDGER_SECRETS:-/run/secrets}/service_password")" <<'SQL'
CREATE ROLE ledger_service LOGIN PASSWORD :'password';
SQL
