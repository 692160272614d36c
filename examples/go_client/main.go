// The Go program of the API reference. Added to it: errors are looked at instead of dropped, bodies are closed, the
// address and the password come from the environment, a 429 or 503 is tried again as its Retry-After says, and the created
// task is printed.
//
// Run: cd examples/go_client && HELIX_PASSWORD=admin123 go run .
// (HELIX_URL: http://localhost:8080, HELIX_USERNAME: admin). Standard library only.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	requestTimeout = 30 * time.Second
	triesMax       = 8
	firstPause     = 500 * time.Millisecond
)

// getenv returns the variable, or the fallback where it is not set.
func getenv(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

// post sends body as JSON and decodes the answer into answer. An answer outside 2xx is an error that shows its body; one
// that asks to come back later (429, 503) is tried again, not before its Retry-After and ever later.
func post(client *http.Client, url, token string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	for try, pause := 1, firstPause; ; try, pause = try+1, 2*pause {
		retryAfter, err := postOnce(client, url, token, data, answer)
		if err == nil || retryAfter < 0 || try == triesMax {
			return err
		}
		if retryAfter > pause {
			pause = retryAfter
		}
		time.Sleep(pause)
	}
}

// postOnce sends one request. With an error it says when another try may succeed; a negative duration means never.
func postOnce(client *http.Client, url, token string, data []byte, answer any) (time.Duration, error) {
	req, err := http.NewRequest("POST", url, bytes.NewReader(data))
	if err != nil {
		return -1, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return -1, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return 0, json.NewDecoder(resp.Body).Decode(answer)
	}
	text, _ := io.ReadAll(resp.Body)
	err = fmt.Errorf("%s: %s: %s", url, resp.Status, text)
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return -1, err
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return time.Duration(seconds) * time.Second, err
}

func main() {
	log.SetFlags(0)
	base := getenv("HELIX_URL", "http://localhost:8080") + "/api/v1"
	client := &http.Client{Timeout: requestTimeout}

	// Login
	loginData := map[string]string{
		"username": getenv("HELIX_USERNAME", "admin"),
		"password": os.Getenv("HELIX_PASSWORD"),
	}
	var login struct {
		Token string `json:"token"`
	}
	if err := post(client, base+"/auth/login", "", loginData, &login); err != nil {
		log.Fatal(err)
	}

	// Create task
	taskData := map[string]string{
		"title":    "Test Task",
		"type":     "planning",
		"priority": "high",
	}
	var task struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	if err := post(client, base+"/tasks", login.Token, taskData, &task); err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.ID, task.Status)
}
