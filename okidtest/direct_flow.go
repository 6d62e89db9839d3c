package okidtest

import "net/http"

var directChoices = []choice{
	{string(Approved), "Approved", "The site learns who you are"},
	{"slow", "Approved, but slowly", "The site has to ask several times"},
	{string(NeedsReview), "Needs review", "A person has to look at it"},
	{string(Declined), "Declined", "The document does not pass"},
	{string(Errored), "Error", "The check itself broke down"},
	{"leave", "Leave", "You walk away, and nothing happens"},
}

// directMessage makes web/flow.js send the browser on.
type directMessage struct {
	Next string `json:"next,omitempty"`
}

func (d *Direct) serveFlow(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	v := hostedView{Provider: "GetID", Step: stepUnknown, Root: "../", Choices: directChoices}
	code := http.StatusNotFound
	d.mu.Lock()
	if s := d.byLink(query.Get("token")); s != nil {
		code = http.StatusOK
		switch {
		case query.Has("left"):
			v.Step = stepLeft
		case s.status != "" && s.status != processing:
			v.Step, v.Ended, v.Next = stepEnded, "Your pictures are being checked", s.next
			v.Message = directMessage{s.next}
		case s.status == "" && !d.cfg.Clock().Before(s.expires):
			v.Step, code = stepLate, http.StatusGone
		default:
			v.Step = stepChoose
		}
	}
	d.mu.Unlock()
	w.Header().Set("Referrer-Policy", "same-origin") // who knows the URL can do the verification
	writePage(w, d.cfg.Logger, code, hostedPage, v)
}

func (d *Direct) serveChoice(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	query := r.URL.Query()
	d.mu.Lock()
	s := d.byLink(query.Get("token"))
	open := s != nil && (s.status == "" || s.status == processing) // a double click is one choice
	d.mu.Unlock()
	word, questions := r.PostFormValue("choice"), 0
	switch word {
	case "":
		http.Error(w, "there is no such choice", http.StatusBadRequest)
		return
	case "leave":
		query.Set("left", "1")
	case "slow":
		word, questions = string(Approved), slowPolls
	}
	if open && word != "leave" {
		err := d.Begin(s.reference)
		if err == nil {
			err = d.CompleteAfter(questions, s.reference, Verdict(word), nil)
		}
		if err != nil {
			d.cfg.Logger.Info("choice not carried out", "err", err) // the page will say why
		}
	}
	showAgain(w, query.Encode())
}
