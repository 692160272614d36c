// Verifies an export and a checkpoint with Go's standard library only: verify EXPORT CHECKPOINT VERIFIER-LINE.
package main

import (
	"bufio"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
)

type line struct {
	Seq                  int
	Leaf, Header, Digest string
}

func must(ok bool, why string) {
	if !ok {
		fmt.Println(why)
		os.Exit(1)
	}
}

func hash(parts ...[]byte) []byte {
	made := sha256.New()
	for _, part := range parts {
		made.Write(part)
	}
	return made.Sum(nil)
}

// root is RFC 6962's MTH over leaf hashes.
func root(leaves [][]byte) []byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	return hash([]byte{1}, root(leaves[:split]), root(leaves[split:]))
}

func main() {
	note, err := os.ReadFile(os.Args[2])
	must(err == nil, "no checkpoint")
	text, signatures, found := strings.Cut(string(note), "\n\n")
	must(found, "no signature")
	text += "\n"
	verifier := strings.SplitN(os.Args[3], "+", 3)
	key, err := base64.StdEncoding.DecodeString(verifier[2])
	must(err == nil && len(key) == 33 && key[0] == 1, "not an Ed25519 key")
	id := hash([]byte(verifier[0]+"\n"), key)[:4]
	must(hex.EncodeToString(id) == verifier[1], "not the key's hash")
	fields := strings.Fields(strings.TrimPrefix(signatures, "\u2014 "))
	must(len(fields) == 2 && fields[0] == verifier[0], "another signer")
	signature, err := base64.StdEncoding.DecodeString(fields[1])
	must(err == nil && string(signature[:4]) == string(id), "another key")
	must(ed25519.Verify(key[1:], []byte(text), signature[4:]), "the signature does not fit")
	lines := strings.Split(text, "\n")
	size, err := strconv.Atoi(lines[1])
	must(err == nil, "no size")

	file, err := os.Open(os.Args[1])
	must(err == nil, "no export")
	rows := bufio.NewScanner(file)
	rows.Buffer(nil, 1<<20)
	rows.Scan()
	var leaves [][]byte
	for rows.Scan() && len(leaves) < size {
		var row line
		must(json.Unmarshal(rows.Bytes(), &row) == nil, "not a line")
		digest, err := hex.DecodeString(row.Digest)
		leaf := hash([]byte{0}, []byte(row.Header), digest)
		must(err == nil && hex.EncodeToString(leaf) == row.Leaf && row.Seq == len(leaves)+1,
			fmt.Sprintf("fact %d was changed", len(leaves)+1))
		leaves = append(leaves, leaf)
	}
	must(len(leaves) == size, "facts are missing")
	must(base64.StdEncoding.EncodeToString(root(leaves)) == lines[2], "another root")
	fmt.Printf("facts 1 to %d are those of the checkpoint\n", size)
}
