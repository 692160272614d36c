// A receiver of webhooks: `go run receiver.go PORT SECRET [SIGNING_SECRET]`. It needs nothing beside Go.
//
// A request is taken when every one of its signatures is right. The id of a message is the same at each try,
// so a message that has come before is answered, and not worked on again.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const tolerance = 5 * time.Minute

var signature = regexp.MustCompile(`,"signature":"(sha256=[0-9a-f]{64})"(,"timestamp":"[^"]*"})$`)

func mac(key []byte, parts ...[]byte) []byte {
	sum := hmac.New(sha256.New, key)
	for _, part := range parts {
		sum.Write(part)
	}
	return sum.Sum(nil)
}

func equal(one, other string) bool { return hmac.Equal([]byte(one), []byte(other)) }

// problem returns which signature is wrong; "" if all are right.
func problem(body []byte, headers http.Header, secret string, key []byte) string {
	id, at := headers.Get("webhook-id"), headers.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age > tolerance || age < -tolerance {
		return "webhook-timestamp"
	}
	expected := "v1," + base64.StdEncoding.EncodeToString(mac(key, []byte(id+"."+at+"."), body))
	isSigned := false
	for _, each := range strings.Split(headers.Get("webhook-signature"), " ") {
		isSigned = isSigned || equal(each, expected)
	}
	if !isSigned {
		return "webhook-signature"
	}
	if !equal(headers.Get("X-Hub-Signature-256"), "sha256="+hex.EncodeToString(mac([]byte(secret), body))) {
		return "X-Hub-Signature-256"
	}
	// The body is canonical JSON: without its signature it is what was signed.
	found := signature.FindSubmatchIndex(body)
	if found == nil {
		return "signature"
	}
	sum := mac([]byte(secret), body[:found[0]], body[found[4]:found[5]])
	if !equal(string(body[found[2]:found[3]]), "sha256="+hex.EncodeToString(sum)) {
		return "signature"
	}
	return ""
}

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		log.Fatal("usage: go run receiver.go PORT SECRET [SIGNING_SECRET]")
	}
	secret := os.Args[2]
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Args[len(os.Args)-1], "whsec_"))
	if err != nil {
		log.Fatal(err)
	}
	var lock sync.Mutex
	seen := map[string]bool{}
	http.HandleFunc("/", func(writer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 1<<20))
		if err != nil {
			return
		}
		if wrong := problem(body, request.Header, secret, key); wrong != "" {
			http.Error(writer, wrong, http.StatusUnauthorized)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		if id := request.Header.Get("webhook-id"); !seen[id] {
			seen[id] = true
			fmt.Println(string(body))
		}
		writer.WriteHeader(http.StatusNoContent)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
