// Verify a webhook request of Helix Ray: go run verify.go SIGNING_SECRET ID TIMESTAMP SIGNATURES < body
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

func isGenuine(signingSecret, id, timestamp, signatures string, body []byte, toleranceS float64) bool {
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || math.Abs(float64(time.Now().Unix()-at)) > toleranceS {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signingSecret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, each := range strings.Split(signatures, " ") {
		if hmac.Equal([]byte(each), []byte(expected)) {
			return true
		}
	}
	return false
}

func main() {
	toleranceS, err := strconv.ParseFloat(os.Getenv("TOLERANCE_S"), 64)
	if err != nil {
		toleranceS = 300
	}
	body, err := io.ReadAll(os.Stdin)
	if err != nil || len(os.Args) < 5 || !isGenuine(os.Args[1], os.Args[2], os.Args[3], os.Args[4], body, toleranceS) {
		fmt.Println("not genuine")
		os.Exit(1)
	}
	fmt.Println("genuine")
}
