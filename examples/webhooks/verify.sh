#!/bin/sh
# Verify a webhook request of Helix Ray: sh verify.sh SIGNING_SECRET ID TIMESTAMP SIGNATURES < body
# Look at the age of TIMESTAMP as well: an old request may be sent again by somebody.
key=$(printf %s "${1#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
expected="v1,$({ printf %s "$2.$3."; cat; } \
  | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)"
for each in $4; do
  [ "$each" = "$expected" ] && { echo genuine; exit 0; }
done
echo "not genuine"
exit 1
