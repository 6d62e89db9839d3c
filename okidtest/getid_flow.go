package okidtest

import (
	"encoding/json"
	"net/http"
	"strings"
)

var getidPage = parsePage("getid.html")

// getidView is the data of web/getid.html.
type getidView struct {
	Step    step // stepChoose, stepEnded or stepUnknown
	Person  map[string]any
	Locale  string
	ID      string
	Verdict Verdict // empty while processing
	Message *getidMessage
}

// getidMessage is what the page tells the partner's script, when framed. That
// protocol is our own.
type getidMessage struct {
	Claim json.RawMessage `json:"getid"`
}

// slowPolls is how many calls to the result API find no verdict after a person
// chose to wait.
const slowPolls = 3

// serveFlow asks for the outcome, or shows the one of an application.
func (g *GetID) serveFlow(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	v := getidView{Step: stepChoose, Person: janeRoe(g.cfg.Clock()), Locale: query.Get("locale"), ID: query.Get("id")}
	code := http.StatusOK
	if v.ID != "" {
		v.Step = stepEnded
		claim, err := g.Claim(v.ID, Token{})
		if err != nil {
			v.Step, code = stepUnknown, http.StatusNotFound
		} else {
			v.Message = &getidMessage{Claim: claim}
			var told struct {
				ApplicationStatus Verdict `json:"applicationStatus"`
			}
			_ = json.Unmarshal(claim, &told) // our own
			v.Verdict = told.ApplicationStatus
		}
	}
	writePage(w, g.cfg.Logger, code, getidPage, v)
}

// serveChoice carries out the button that was pressed.
func (g *GetID) serveChoice(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	polls, verdict := 0, Verdict(r.PostFormValue("choice"))
	switch verdict {
	case Approved, Declined, NeedsReview, Errored:
	case "slow":
		polls, verdict = slowPolls, Approved
	default:
		http.Error(w, "there is no such choice", http.StatusBadRequest)
		return
	}
	id, _ := g.Begin()
	if err := g.CompleteAfter(polls, id, verdict, nil); err != nil {
		panic("okidtest: cannot happen, the application is there: " + err.Error())
	}
	query := r.URL.Query()
	query.Set("id", id)
	showAgain(w, query.Encode())
}

// servePartnerScript serves web/getid.js under whatever name the partner has.
func servePartnerScript(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.PathValue("script"), ".js") {
		writeNoRoute(w, r)
		return
	}
	writeFiles(w, "text/javascript; charset=utf-8", "", "getid.js", "dialog.js")
}
