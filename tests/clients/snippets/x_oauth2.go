// Signs in with the snippet for golang.org/x/oauth2, which is compiled into this program. Arguments as for the other clients; prints one
// line of JSON.
package main

import (
	"context"
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
	clientID     = flag.String("client-id", "conf", "")
	clientSecret = flag.String("client-secret", "", "")
	redirectURI  = flag.String("redirect-uri", "http://127.0.0.1:9999/cb", "")
	authorize    = flag.String("authorize", "/authorize", "")
	token        = flag.String("token", "/token", "")
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
	config := &oauth2.Config{
		ClientID:     *clientID,
		ClientSecret: *clientSecret,
		Endpoint:     oauth2.Endpoint{AuthURL: *issuer + *authorize, TokenURL: *issuer + *token},
		RedirectURL:  *redirectURI,
	}
	state, err := random()
	if err != nil {
		return err
	}
	verifier, err := random()
	if err != nil {
		return err
	}
	received, err := signIn(begin(config, state, verifier))
	if err != nil {
		return err
	}
	outcome["response"] = map[string]string{"code": received.Get("code")}
	if received.Get("state") != state {
		return errors.New("another state")
	}
	tokens, err := finish(context.Background(), config, received.Get("code"), verifier)
	if err != nil {
		return err
	}
	outcome["token_type"] = tokens.Type()
	return nil
}

// The parameters that the client receives.
func signIn(start string) (url.Values, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	userAgent := filepath.Join(filepath.Dir(program), "..", "..", "user-agent.mjs")
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
	return at.Query(), nil
}
