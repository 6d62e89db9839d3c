package okidtest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// Verdict is how GetID's check of a person ended. Any other word can be used
// too, and is told as it is.
type Verdict string

// The verdicts that GetID documents, the last one for its API alone.
const (
	Approved    Verdict = "approved"
	Declined    Verdict = "declined"
	NeedsReview Verdict = "needs-review"
	Errored     Verdict = "error"
)

// object is a JSON object.
type object = map[string]any

// application is what one user handed in.
type application struct {
	verdict    Verdict // empty until there is one
	polls      int     // how many more calls to the result API find no verdict
	attributes json.RawMessage
}

func (a *application) done() bool { return a.verdict != "" && a.polls == 0 }

// data is what the result API and the browser's callback have in common.
func (a *application) data() object {
	data := object{
		"status":     "processing",
		"results":    object{"concerns": []object{}},
		"checks":     []object{},
		"documents":  []object{},
		"attributes": object{},
		"metadata":   object{"platform": "web", "ipAddress": "", "country": "SWE", "city": "", "userAgent": ""},
	}
	if !a.done() {
		return data
	}
	comment := ""
	if a.verdict != Approved {
		comment = "Found 1 issue(s)."
	}
	data["status"] = "done"
	data["results"] = object{"status": a.verdict, "concerns": concernsOf(a.verdict)}
	data["checks"] = []object{{"name": "docCheck", "status": a.verdict, "comment": comment}}
	data["documents"] = []object{
		{"name": "document", "files": []object{
			{"kind": "front", "mediaType": "image/jpeg", "uri": ""},
			{"kind": "back", "mediaType": "image/jpeg", "uri": ""},
		}},
		{"name": "selfie", "files": []object{}},
	}
	data["attributes"] = a.attributes
	return data
}

// janeRoe is what GetID tells about Jane Roe, who does not exist.
func janeRoe(now time.Time) object {
	return object{
		"documentType": "id-card", "documentNumbers": []string{}, "issueCountry": "NLD",
		"dateOfExpiry": now.UTC().AddDate(5, 0, 0).Format(time.DateOnly),
		"firstName":    "JANE", "originalFirstName": "Jane", "lastName": "ROE", "originalLastName": "Roe",
		"dateOfBirth": "1990-02-03", "placeOfBirth": "", "gender": "female", "nationality": "NLD",
		"idNumber": "", "referenceId": "",
	}
}

// Begin does what the user does by handing in pictures: there is an application,
// which is processing, and the browser has the claim that [GetID.Claim] returns.
func (g *GetID) Begin() (id string, claim []byte) {
	b := make([]byte, 18)
	_, _ = rand.Read(b) // never fails
	id = hex.EncodeToString(b)
	g.mu.Lock()
	g.applications[id] = &application{}
	g.mu.Unlock()
	claim, err := g.Claim(id, Token{})
	if err != nil {
		panic("okidtest: cannot happen, the application is there: " + err.Error())
	}
	return id, claim
}

// Complete gives an application its verdict. The attributes replace or add to
// those of Jane Roe, who does not exist; nil takes one away. They may be of any kind,
// so that a date cannot be read, but must be fit for encoding/json, or the error is
// [ErrConfig]. [ErrNotFound] if the id is unknown.
//
// A second verdict replaces the first: staff may change it.
func (g *GetID) Complete(id string, v Verdict, attributes map[string]any) error {
	return g.CompleteAfter(0, id, v, attributes)
}

// CompleteAfter is Complete for a verdict that is not there yet: the next so many
// calls to the result API that are not made to fail find the application
// processing.
func (g *GetID) CompleteAfter(polls int, id string, v Verdict, attributes map[string]any) error {
	if polls < 0 {
		return fmt.Errorf("%w: polls is negative", ErrConfig)
	}
	all, err := overlay(janeRoe(g.cfg.Clock()), attributes)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.applications[id]
	if a == nil {
		return fmt.Errorf("%w: application", ErrNotFound)
	}
	*a = application{verdict: v, polls: polls, attributes: all}
	return nil
}

// Claim returns the JSON object that the browser gets as data.ocr once the user
// is done, with the application as it stands now and a token made as t says. All
// in it but the token is unsigned: what a user may change, a test may.
// [ErrNotFound] if the id is unknown, [ErrConfig] if the token cannot be made.
func (g *GetID) Claim(id string, t Token) ([]byte, error) {
	signed, err := g.sign(id, t)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.applications[id]
	if a == nil {
		return nil, fmt.Errorf("%w: application", ErrNotFound)
	}
	claim := object{
		"id":        id,
		"resultUrl": g.server.baseURL() + "/verifications/results/" + id,
		"signed":    signed,
		"data":      a.data(),
	}
	if a.done() {
		claim["applicationStatus"] = a.verdict
	}
	return json.Marshal(claim)
}

// overlay returns base with the changes made to it, nil taking a member away.
func overlay(base, changes object) (json.RawMessage, error) {
	maps.Copy(base, changes)
	maps.DeleteFunc(base, func(_ string, v any) bool { return v == nil })
	b, err := json.Marshal(base)
	if err != nil {
		// The cause would quote the value.
		return nil, fmt.Errorf("%w: a value is not fit for JSON", ErrConfig)
	}
	return b, nil
}
