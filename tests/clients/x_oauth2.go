// Go's golang.org/x/oauth2 with automatic client authentication, as most programs use it. It tries HTTP Basic first, and if that fails
// repeats the request with the secret in the form. Arguments as for the other clients; prints one line of JSON.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/oauth2"
)

var (
	issuer       = flag.String("issuer", "", "")
	clientID     = flag.String("client-id", "pub", "")
	clientSecret = flag.String("client-secret", "", "")
	redirectURI  = flag.String("redirect-uri", "http://127.0.0.1:9999/cb", "")
	authorize    = flag.String("authorize", "/authorize", "")
	token        = flag.String("token", "/token", "")
	scope        = flag.String("scope", "openid", "")
	verifies     = flag.String("verifier", "on", "on | off: leave the verifier out of the token request")
)

func main() {
	flag.Parse()
	outcome := map[string]interface{}{"client": "x/oauth2", "ok": true}
	if err := flow(outcome); err != nil {
		outcome["ok"] = false
		outcome["error"] = map[string]string{"message": err.Error()}
	}
	_ = json.NewEncoder(os.Stdout).Encode(outcome)
}

func flow(outcome map[string]interface{}) error {
	config := oauth2.Config{
		ClientID:     *clientID,
		ClientSecret: *clientSecret,
		Endpoint:     oauth2.Endpoint{AuthURL: *issuer + *authorize, TokenURL: *issuer + *token, AuthStyle: oauth2.AuthStyleAutoDetect},
		RedirectURL:  *redirectURI,
		Scopes:       []string{*scope},
	}
	state, verifier := random(), random()
	challenge := sha256.Sum256([]byte(verifier))
	received, err := signIn(config.AuthCodeURL(state,
		oauth2.SetAuthURLParam("code_challenge", base64.RawURLEncoding.EncodeToString(challenge[:])),
		oauth2.SetAuthURLParam("code_challenge_method", "S256")))
	if err != nil {
		return err
	}
	outcome["response"] = received
	if received["state"] != state {
		return errors.New("another state")
	}
	options := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("code_verifier", verifier)}
	if *verifies != "on" {
		options = nil
	}
	tokens, err := config.Exchange(context.Background(), received["code"], options...)
	if err != nil {
		return err
	}
	outcome["token_type"] = tokens.Type()
	return nil
}

// The parameters that the client receives.
func signIn(start string) (map[string]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	userAgent := filepath.Join(filepath.Dir(program), "..", "user-agent.mjs")
	output, err := exec.Command("node", userAgent, start, *redirectURI).Output()
	if err != nil {
		return nil, err
	}
	var arrival struct{ URL string }
	if err := json.Unmarshal(output, &arrival); err != nil {
		return nil, err
	}
	at, err := url.Parse(arrival.URL)
	if err != nil {
		return nil, err
	}
	received := map[string]string{}
	for name := range at.Query() {
		received[name] = at.Query().Get(name)
	}
	return received, nil
}

func random() string {
	bytes := make([]byte, 32)
	if _, err := rand.Read(bytes); err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(bytes)
}
