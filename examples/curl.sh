#!/bin/sh
# Log in, submit a task that runs on the cluster, and print it once it has ended. Needs curl.
# Run: HELIX_PASSWORD=admin123 sh examples/curl.sh      (HELIX_URL: http://localhost:8080, HELIX_USERNAME: admin)
set -eu
url=${HELIX_URL:-http://localhost:8080}/api/v1

# field NAME < JSON: the string value of one field of a flat JSON object (use jq where there is one)
field() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/"; }

token=$(curl -fsS -X POST "$url/auth/login" -H "Content-Type: application/json" \
    -d "{\"username\":\"${HELIX_USERNAME:-admin}\",\"password\":\"$HELIX_PASSWORD\"}" | field token)

id=$(curl -fsS -X POST "$url/tasks" -H "Authorization: Bearer $token" -H "Content-Type: application/json" \
    -d '{"title":"Say hello","type":"testing","priority":"high","run":{"kind":"command","shell":"echo hello from $(uname -s)"}}' \
    | field id)

for _ in $(seq 300); do
    task=$(curl -fsS "$url/tasks/$id" -H "Authorization: Bearer $token")
    case $(printf '%s' "$task" | field status) in
        completed) break ;;
        failed | cancelled) printf '%s\n' "$task" >&2; exit 1 ;;
    esac
    sleep 0.1
done
curl -fsS "$url/tasks/$id/result" -H "Authorization: Bearer $token"
echo
