// The Go program of the API reference. Added to it: errors are looked at instead of dropped, bodies are closed, the
// address and the password come from the environment, and the created task is printed.
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
	"time"
)

const requestTimeout = 30 * time.Second

// getenv returns the variable, or the fallback where it is not set.
func getenv(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

// post sends body as JSON and decodes the answer into answer. An answer outside 2xx is an error that shows its body.
func post(client *http.Client, url, token string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest("POST", url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s: %s", url, resp.Status, text)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
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
