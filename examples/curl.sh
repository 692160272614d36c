#!/bin/sh
# Log in, submit a task that runs on the cluster, and print it once it has ended. Needs curl.
# Run: HELIX_PASSWORD=admin123 sh examples/curl.sh      (HELIX_URL: http://localhost:8080, HELIX_USERNAME: admin)
set -eu
url=${HELIX_URL:-http://localhost:8080}/api/v1

# field NAME < JSON: the string value of one field of a flat JSON object (use jq where there is one)
field() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/"; }

token=$(curl -fsS --retry 5 -X POST "$url/auth/login" -H "Content-Type: application/json" \
    -d "{\"username\":\"${HELIX_USERNAME:-admin}\",\"password\":\"$HELIX_PASSWORD\"}" | field token)

id=$(curl -fsS --retry 5 -X POST "$url/tasks" -H "Authorization: Bearer $token" -H "Content-Type: application/json" \
    -d '{"title":"Say hello","type":"testing","priority":"high","run":{"kind":"command","shell":"echo hello from $(uname -s)"}}' \
    | field id)

# One request waits for up to 20 s; while the task is unfinished the answer is 409, which --retry does not try again.
for _ in 1 2 3; do
    if result=$(curl -fsS --retry 5 "$url/tasks/$id/result?wait_s=20" -H "Authorization: Bearer $token"); then
        printf '%s\n' "$result"
        case $(printf '%s' "$result" | field status) in completed) exit 0 ;; *) exit 1 ;; esac
    fi
done
echo "$id has not ended after 60 s" >&2
exit 1
