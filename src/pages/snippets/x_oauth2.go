package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"golang.org/x/oauth2"
)

// random makes 43 characters, as oauth2.GenerateVerifier does from 0.13 on.
func random() (string, error) {
	bytes := make([]byte, 32)
	_, err := rand.Read(bytes)
	return base64.RawURLEncoding.EncodeToString(bytes), err
}

// begin begins a sign-in. Make state and verifier with random for every
// sign-in, keep both for this user, and send the browser to the result.
func begin(config *oauth2.Config, state, verifier string) string {
	hash := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(hash[:])
	return config.AuthCodeURL(state,
		oauth2.SetAuthURLParam("code_challenge", challenge),
		oauth2.SetAuthURLParam("code_challenge_method", "S256"))
}

// finish ends it. Before, compare the state of the callback with the kept one.
func finish(
	ctx context.Context, config *oauth2.Config, code, verifier string,
) (*oauth2.Token, error) {
	return config.Exchange(ctx, code, oauth2.SetAuthURLParam("code_verifier", verifier))
}
