// Checks a checkpoint and proofs with the packages of Go's checksum database: sumdb CHECKPOINT VERIFIER-LINE PROOFS.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type proofs struct {
	Records []struct {
		Seq            int64
		Header, Digest string
		Path           []tlog.Hash
	}
	Trees []struct {
		Size int64
		Root tlog.Hash
		Path []tlog.Hash
	}
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func main() {
	signed, err := os.ReadFile(os.Args[1])
	must(err)
	verifier, err := note.NewVerifier(os.Args[2])
	must(err)
	opened, err := note.Open(signed, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	content, err := os.ReadFile(os.Args[3])
	must(err)
	var given proofs
	must(json.Unmarshal(content, &given))
	for _, record := range given.Records {
		digest, err := hex.DecodeString(record.Digest)
		must(err)
		leaf := tlog.RecordHash(append([]byte(record.Header), digest...))
		must(tlog.CheckRecord(record.Path, size, root, record.Seq-1, leaf))
	}
	for _, tree := range given.Trees {
		must(tlog.CheckTree(tree.Path, size, root, tree.Size, tree.Root))
	}
	fmt.Printf("%s: %d records and %d trees of %d facts of %s\n", base64.StdEncoding.EncodeToString(root[:4]),
		len(given.Records), len(given.Trees), size, lines[0])
}
