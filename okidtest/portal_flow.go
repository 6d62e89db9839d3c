package okidtest

import (
	"net/http"

	"github.com/okidkit/okidkit/okid/portal"
)

var hostedPage = parsePage("hosted.html")

// hostedView is the data of web/hosted.html.
type hostedView struct {
	Provider string
	Step     step // stepChoose, stepEnded, stepLate, stepLeft or stepUnknown
	Choices  []choice
	Ended    string // what became of it
	Next     string // where the user goes afterwards, or empty
	Root     string // leads from the page to the root of the fake
	Locale   string
	Message  any // for web/flow.js
}

// choice is one button.
type choice struct{ Value, Title, Text string }

// portalMessage is what the page tells the script of the portal, when framed, or the script that
// sends the browser on. That protocol is our own.
type portalMessage struct {
	Outcome string            `json:"portal"` // "success", "review", "error" or "close"
	Data    map[string]string `json:"data,omitempty"`
	Next    string            `json:"next,omitempty"`
}

var portalChoices = []choice{
	{portal.StatusVerified, "Verified", "The site learns who you are"},
	{"slow", "Verified, but slowly", "The site has to ask several times"},
	{portal.StatusNeedsManualReview, "Needs review", "A person has to look at it"},
	{portal.StatusRejected, "Rejected", "The document does not pass"},
	{portal.StatusDocumentExpired, "Document has expired", "The site learns why it does not pass"},
	{"leave", "Leave", "You walk away, and nothing happens"},
}

func (p *Portal) serveFlow(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	v := hostedView{Provider: "okID portal", Step: stepUnknown, Locale: query.Get("locale"), Choices: portalChoices}
	code := http.StatusNotFound
	p.mu.Lock()
	if s := p.byID(query.Get("verification_id")); s != nil {
		code = http.StatusOK
		switch {
		case query.Has("left"):
			v.Step, v.Message = stepLeft, portalMessage{Outcome: "close"}
		case s.status != "" && s.status != portal.StatusInitiated:
			v.Step, v.Next = stepEnded, s.next
			v.Ended, v.Message = portalEnd(s)
		case s.status == "" && !p.cfg.Clock().Before(s.expires):
			v.Step, code = stepLate, http.StatusGone
		default:
			v.Step = stepChoose
		}
	}
	p.mu.Unlock()
	w.Header().Set("Referrer-Policy", "same-origin") // who knows the URL can do the verification
	writePage(w, p.cfg.Logger, code, hostedPage, v)
}

// portalEnd says how a verification ended. The portal sends the browser on by itself after success
// and for a review, and otherwise not.
func portalEnd(s *hostedSession) (string, portalMessage) {
	data := map[string]string{"verification_id": s.id, "status": s.status}
	switch s.status {
	case portal.StatusVerified:
		return "You are verified", portalMessage{"success", data, s.next}
	case portal.StatusNeedsManualReview, portal.StatusNeedsTemplate:
		return "A person looks at it", portalMessage{"review", data, s.next}
	}
	return "You were refused", portalMessage{"error", data, ""}
}

func (p *Portal) serveChoice(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	query := r.URL.Query()
	id, word := query.Get("verification_id"), r.PostFormValue("choice")
	p.mu.Lock()
	s := p.byID(id)
	open := s != nil && (s.status == "" || s.status == portal.StatusInitiated) // a double click is one choice
	p.mu.Unlock()
	questions := 0
	switch word {
	case "":
		http.Error(w, "there is no such choice", http.StatusBadRequest)
		return
	case "leave":
		query.Set("left", "1")
	case "slow":
		word, questions = portal.StatusVerified, slowPolls
	}
	if open && word != "leave" {
		err := p.Begin(id)
		if err == nil {
			err = p.CompleteAfter(questions, id, word, nil)
		}
		if err != nil {
			p.cfg.Logger.Info("choice not carried out", "err", err) // the page will say why
		}
	}
	showAgain(w, query.Encode())
}
