// Reports what Go's net/http reads: the sources of FormValue (the query, and PostForm with the values of a multipart body), and the
// route that its ServeMux selects.
package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"sync"
)

type line struct {
	Case   string      `json:"case"`
	Method string      `json:"method"`
	Path   string      `json:"path"`
	Route  string      `json:"route"`
	Query  [][2]string `json:"query"`
	Form   [][2]string `json:"form"`
}

var writing sync.Mutex

func pairs(values url.Values) [][2]string {
	pairs := [][2]string{}
	for name, values := range values {
		for _, value := range values {
			pairs = append(pairs, [2]string{name, value})
		}
	}
	return pairs
}

func echo(route string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1 << 20) // what it could read stays, whatever it complains about
		query := r.URL.Query()
		form := pairs(r.PostForm)
		writing.Lock()
		_ = json.NewEncoder(os.Stdout).Encode(line{r.Header.Get("X-Case"), r.Method, r.URL.Path, route, pairs(query), form})
		writing.Unlock()
		if r.Header.Get("X-Sign-In") == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		state := []byte(query.Get("state"))
		code := make([]byte, len(state))
		for at, letter := range state {
			code[len(state)-1-at] = letter
		}
		params := url.Values{"code": {string(code)}, "state": {string(state)}}
		w.Header().Set("Location", query.Get("redirect_uri")+"?"+params.Encode())
		w.WriteHeader(http.StatusFound)
	}
}

func main() {
	http.HandleFunc("/token", echo("token"))
	http.HandleFunc("/authorize", echo("authorize"))
	http.HandleFunc("/", echo(""))
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		panic(err)
	}
}
