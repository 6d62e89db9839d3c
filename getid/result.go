package getid

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
	"github.com/okidkit/okidkit/internal/wire"
)

// The words of [Result.Status]: how far the processing is.
const (
	StatusProcessing = "processing"
	StatusDone       = "done"
)

// The words of [Result.Verdict], which means nothing until Status is
// [StatusDone].
const (
	VerdictApproved    = "approved"
	VerdictDeclined    = "declined"
	VerdictNeedsReview = "needs-review"
	VerdictError       = "error" // a technical one
)

// Result is the answer of GET /verifications/results/{id}. Everything but ID is
// optional, and in Checkin.com's words; what is not listed here is not kept. Of
// the first 32 elements of each list those that can be read are.
//
// It is personal data: it and its parts print, log and marshal without their
// content, the result as its id and its status, unless they lie in an unexported field
// of another struct, see [identity.Verification].
type Result struct {
	ID      string // the one that was asked for
	Status  string // data.status
	Verdict string // data.results.status

	Concerns   []identity.Concern // data.results.concerns
	Checks     []Check
	Documents  []Document
	Metadata   Metadata
	Attributes Attributes
}

// Check is the outcome of one check.
type Check struct {
	redacted[Check]
	Name    string // "docCheck"
	Status  string
	Comment string
}

// Document is one document, or the selfie, that the user showed.
type Document struct {
	redacted[Document]
	Name  string // "document", "selfie"
	Files []File
}

// File is one picture of a [Document].
type File struct {
	redacted[File]
	Kind      string // "front", "back"
	MediaType string
	URI       string // who holds it can see the picture
}

// Metadata is where the user was.
type Metadata struct {
	redacted[Metadata]
	Platform  string // "web"
	IPAddress string
	Country   string // ISO 3166-1 alpha-3
	City      string
	UserAgent string
}

// Attributes are what was read from the document.
type Attributes struct {
	redacted[Attributes]
	DocumentType      string // "id-card"
	FirstName         string // in upper case
	OriginalFirstName string // as it is written
	LastName          string // in upper case
	OriginalLastName  string // as it is written
	// DocumentNumbers are the elements that are strings, and the member "number"
	// or "value" of those that are objects: the documentation lost their form.
	DocumentNumbers []string
	IDNumber        string
	ReferenceID     string
	Gender          string
	Nationality     string // ISO 3166-1 alpha-3
	IssueCountry    string // ISO 3166-1 alpha-3
	PlaceOfBirth    string
	DateOfExpiry    identity.Date
	DateOfBirth     identity.Date
}

// Verification is the result in the words that all providers share. Its status is
//
//	data.status   data.results.status   status
//	processing    anything              [identity.Started]
//	done          approved              [identity.Verified]
//	done          declined              [identity.Failed]
//	done          needs-review          [identity.Review]
//	done          error                 [identity.Failed], with [identity.ReasonError]
//
// and for everything else empty: nothing can be concluded. A text longer than
// [identity.MaxText] is left out, and so is a country that is no ISO 3166-1 alpha-3 code.
func (r Result) Verification() identity.Verification {
	v := identity.Verification{
		ID:             r.ID,
		DocumentType:   unlessLong(r.Attributes.DocumentType),
		DocumentExpiry: r.Attributes.DateOfExpiry,
		FirstName:      unlessLong(r.Attributes.FirstName),
		LastName:       unlessLong(r.Attributes.LastName),
		DateOfBirth:    r.Attributes.DateOfBirth,
		Nationality:    wire.Country(r.Attributes.Nationality),
		IssuingCountry: wire.Country(r.Attributes.IssueCountry),
		Concerns:       r.Concerns,
	}
	if numbers := r.Attributes.DocumentNumbers; len(numbers) > 0 {
		v.DocumentNumber = unlessLong(numbers[0])
	}
	switch r.Status {
	case StatusProcessing:
		v.Status = identity.Started
	case StatusDone:
		switch r.Verdict {
		case VerdictApproved:
			v.Status = identity.Verified
		case VerdictDeclined:
			v.Status = identity.Failed
		case VerdictNeedsReview:
			v.Status = identity.Review
		case VerdictError:
			v.Status, v.Reason = identity.Failed, identity.ReasonError
		}
	}
	return v
}

func unlessLong(text string) string {
	if len(text) > identity.MaxText {
		return ""
	}
	return text
}

// Fetch is [Provider.Result] in the words that all providers share. It never
// returns [identity.ErrNotFound].
func (p *Provider) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	r, err := p.Result(ctx, id)
	if err != nil {
		return identity.Notice{}, err
	}
	return identity.Notice{Provider: Name, Verification: r.Verification()}, nil
}

// Result asks Checkin.com, with the secret key, how a verification stands, with one
// GET /verifications/results/{id}. An id that is not 8 to 128 letters, digits, "-"
// and "_" is [identity.ErrMalformed], and is not asked for.
//
// The answer must carry a token that [Provider.VerifyClaim] would take for this
// id; only an answer that the verification is being processed may have none. Else
// it is [identity.ErrRefused], as are wrong credentials, and an answer in which one
// of the objects that decide (those of data, data.results and the two statuses) has
// a name twice, be it in another letter case. Elsewhere what is odd is left out, but
// a date that is there and odd is [identity.UnreadableDate]. An HTTP 404 is
// [identity.ErrUnavailable]: it is documented for a path that does not exist, and
// so tells nothing about the verification.
func (p *Provider) Result(ctx context.Context, id string) (Result, error) {
	if !ids.MatchString(id) {
		return Result{}, fmt.Errorf("getid: %w: %w", identity.ErrMalformed, errID)
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	a, err := p.fetchResult(ctx, id)
	if err != nil {
		return Result{}, err
	}
	if a.Status == http.StatusAccepted {
		return Result{ID: id, Status: StatusProcessing}, nil
	}
	type read struct {
		result Result
		signed string
	}
	r, err := strictjson.Read(a.Body, resultShape, func(root *strictjson.Value) (read, error) {
		result, err := readResult(root)
		result.ID = id
		return read{result, text(root.Get("signed"))}, err
	})
	if err != nil {
		return Result{}, fmt.Errorf("getid: %w: %w", identity.ErrRefused, err)
	}
	if r.signed == "" && r.result.Status == StatusProcessing {
		return r.result, nil
	}
	if err := p.authenticate(ctx, r.signed, id, identity.ErrRefused); err != nil {
		return Result{}, err
	}
	return r.result, nil
}

// What is read of a result. The objects in which the statuses and the token stand
// decide; what is odd elsewhere costs no more than the field that it is in.
var resultShape = &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: "signed"}, {Name: "data", Shape: &strictjson.Shape{
	Strict: true, Members: []strictjson.Member{
		{Name: "status"},
		{Name: "results", Shape: &strictjson.Shape{Strict: true, Members: []strictjson.Member{
			{Name: "status"}, {Name: "concerns", Shape: listOf(lenient("id", "service", "status", "message"))},
		}}},
		{Name: "checks", Shape: listOf(lenient("name", "status", "comment"))},
		{Name: "documents", Shape: listOf(&strictjson.Shape{Members: []strictjson.Member{
			{Name: "name"}, {Name: "files", Shape: listOf(lenient("kind", "mediaType", "uri"))},
		}})},
		{Name: "metadata", Shape: lenient("platform", "ipAddress", "country", "city", "userAgent")},
		{Name: "attributes", Shape: attributesShape},
	},
}}}}

var attributesShape = func() *strictjson.Shape {
	shape := lenient("documentType", "firstName", "originalFirstName", "lastName", "originalLastName", "idNumber", "referenceId",
		"gender", "nationality", "issueCountry", "dateOfExpiry", "dateOfBirth", "placeOfBirth")
	shape.Members = append(shape.Members, strictjson.Member{Name: "documentNumbers", Shape: listOf(lenient("number", "value"))})
	return shape
}()

// lenient is an object that does not decide, with these members.
func lenient(names ...string) *strictjson.Shape {
	shape := strict(names...)
	shape.Strict = false
	return shape
}

func listOf(element *strictjson.Shape) *strictjson.Shape {
	return &strictjson.Shape{Elements: element, Max: identity.MaxConcerns}
}

// readResult reads all but the token. Odd optional fields are left out.
func readResult(root *strictjson.Value) (Result, error) {
	data := root.Get("data")
	results, metadata, attributes := data.Get("results"), data.Get("metadata"), data.Get("attributes")
	if !data.IsObject() {
		return Result{}, errors.New("data is not an object")
	}
	return Result{
		Status:    text(data.Get("status")),
		Verdict:   text(results.Get("status")),
		Concerns:  wire.List(results.Get("concerns"), readConcern),
		Checks:    wire.List(data.Get("checks"), readCheck),
		Documents: wire.List(data.Get("documents"), readDocument),
		Metadata: Metadata{
			Platform:  text(metadata.Get("platform")),
			IPAddress: text(metadata.Get("ipAddress")),
			Country:   text(metadata.Get("country")),
			City:      text(metadata.Get("city")),
			UserAgent: text(metadata.Get("userAgent")),
		},
		Attributes: Attributes{
			DocumentType:      text(attributes.Get("documentType")),
			FirstName:         text(attributes.Get("firstName")),
			OriginalFirstName: text(attributes.Get("originalFirstName")),
			LastName:          text(attributes.Get("lastName")),
			OriginalLastName:  text(attributes.Get("originalLastName")),
			DocumentNumbers:   wire.List(attributes.Get("documentNumbers"), readDocumentNumber),
			IDNumber:          text(attributes.Get("idNumber")),
			ReferenceID:       text(attributes.Get("referenceId")),
			Gender:            text(attributes.Get("gender")),
			Nationality:       text(attributes.Get("nationality")),
			IssueCountry:      text(attributes.Get("issueCountry")),
			PlaceOfBirth:      text(attributes.Get("placeOfBirth")),
			DateOfExpiry:      wire.Date(attributes.Get("dateOfExpiry")),
			DateOfBirth:       wire.Date(attributes.Get("dateOfBirth")),
		},
	}, nil
}

func readConcern(v *strictjson.Value) (identity.Concern, bool) {
	return identity.Concern{
		ID:      wire.Cut(text(v.Get("id"))),
		Service: wire.Cut(text(v.Get("service"))),
		Status:  wire.Cut(text(v.Get("status"))),
		Message: wire.Cut(text(v.Get("message"))),
	}, v.IsObject()
}

func readCheck(v *strictjson.Value) (Check, bool) {
	return Check{Name: text(v.Get("name")), Status: text(v.Get("status")), Comment: text(v.Get("comment"))}, v.IsObject()
}

func readDocument(v *strictjson.Value) (Document, bool) {
	return Document{Name: text(v.Get("name")), Files: wire.List(v.Get("files"), readFile)}, v.IsObject()
}

func readFile(v *strictjson.Value) (File, bool) {
	return File{Kind: text(v.Get("kind")), MediaType: text(v.Get("mediaType")), URI: text(v.Get("uri"))}, v.IsObject()
}

func readDocumentNumber(v *strictjson.Value) (string, bool) {
	for _, v := range []*strictjson.Value{v, v.Get("number"), v.Get("value")} {
		if number := text(v); number != "" {
			return number, true
		}
	}
	return "", false
}

// text reads an optional field. A text that cannot be read is not there.
func text(v *strictjson.Value) string {
	b, _ := v.Text()
	return string(b)
}
