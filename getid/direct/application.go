package direct

import (
	"crypto/sha256"
	"errors"
	"strings"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
	"github.com/okidkit/okidkit/internal/wire"
)

// application is what is read of GetID's VerificationResult, which is the answer to a question
// and the body of a webhook.
type application struct {
	id           string // GetID's own
	responseCode string
	notice       identity.Notice
	digest       [sha256.Size]byte
}

// What is read of an application. What decides is in objects that are strict; what is odd
// elsewhere costs no more than the field that it is in.
var (
	extractedShape = &strictjson.Shape{Elements: members(false, "category", "content"), Max: 64}

	applicationShape = &strictjson.Shape{Strict: true, Members: []strictjson.Member{
		{Name: "id"}, {Name: "responseCode"}, {Name: "processingState"}, {Name: "processingStatus"},
		{Name: "metadata", Shape: &strictjson.Shape{Strict: true, Members: []strictjson.Member{
			{Name: "externalId"}, {Name: "createdAt"},
			{Name: "labels", Shape: &strictjson.Shape{Others: maxLabels}},
		}}},
		{Name: "overallResult", Shape: &strictjson.Shape{Strict: true, Members: []strictjson.Member{
			{Name: "status"}, {Name: "validationDate"},
			{Name: "concerns", Shape: &strictjson.Shape{Elements: members(false, "id", "service", "status", "message"), Max: identity.MaxConcerns}},
		}}},
		{Name: "application", Shape: &strictjson.Shape{Members: []strictjson.Member{
			{Name: "documents", Shape: &strictjson.Shape{Elements: members(false, "issuingCountry", "documentType"), Max: 1}},
		}}},
		{Name: "servicesResults", Shape: &strictjson.Shape{Members: []strictjson.Member{
			{Name: "docCheck", Shape: &strictjson.Shape{Members: []strictjson.Member{
				{Name: "extracted", Shape: &strictjson.Shape{Members: []strictjson.Member{{Name: "ocr", Shape: extractedShape}}}},
			}}},
		}}},
	}}
)

func members(strict bool, names ...string) *strictjson.Shape {
	shape := &strictjson.Shape{Strict: strict}
	for _, name := range names {
		shape.Members = append(shape.Members, strictjson.Member{Name: name})
	}
	return shape
}

// readApplication reads an application. The notice has the reference for its id: it is by that
// that GetID is asked.
func readApplication(root *strictjson.Value) (a application, err error) {
	metadata, overall := root.Get("metadata"), root.Get("overallResult")
	reference, isText := metadata.Get("externalId").Text()
	code, _ := root.Get("responseCode").Number()
	switch {
	case !root.IsObject():
		return a, errors.New("answer is not an object")
	case !metadata.IsObject() && !metadata.Absent():
		return a, errors.New("metadata is not an object")
	case !isText && !metadata.Get("externalId").Absent():
		return a, errors.New("externalId is not a string")
	}
	v := identity.Verification{
		ID:          string(reference),
		CreatedAt:   wire.Instant(metadata.Get("createdAt")),
		CompletedAt: wire.Instant(overall.Get("validationDate")),
		Concerns:    wire.List(overall.Get("concerns"), readConcern),
	}
	state, verdict := readState(root), wire.Text(overall.Get("status"))
	v.Status, v.Reason = status(state, verdict)
	for document := range root.Get("application").Get("documents").Elements() {
		v.DocumentType = wire.Text(document.Get("documentType"))
		v.IssuingCountry = wire.Country(wire.Text(document.Get("issuingCountry")))
	}
	for read := range root.Get("servicesResults").Get("docCheck").Get("extracted").Get("ocr").Elements() {
		readExtracted(&v, read.Get("category"), read.Get("content"))
	}
	a.id, a.responseCode = wire.Text(root.Get("id")), string(code)
	a.notice = identity.Notice{Provider: Name, Verification: v, Reference: string(reference), Metadata: readLabels(metadata.Get("labels"))}
	b := strictjson.AppendText(nil, Name)
	for _, part := range []string{a.id, string(reference), state, verdict, wire.Text(overall.Get("validationDate"))} {
		b = strictjson.AppendText(b, part)
	}
	a.digest = sha256.Sum256(b)
	return a, nil
}

// readState is how far the processing is, by either name, and "" if the names disagree.
func readState(root *strictjson.Value) string {
	state, status := root.Get("processingState"), root.Get("processingStatus")
	switch {
	case state.Absent():
		return wire.Text(status)
	case !status.Absent() && wire.Text(status) != wire.Text(state):
		return ""
	}
	return wire.Text(state)
}

func status(state, verdict string) (s identity.Status, reason string) {
	switch state {
	case "processing":
		return identity.Started, ""
	case "done":
		switch verdict {
		case "approved":
			return identity.Verified, ""
		case "declined":
			return identity.Failed, ""
		case "needs-review":
			return identity.Review, ""
		case "error":
			return identity.Failed, identity.ReasonError
		}
	}
	return "", ""
}

// readExtracted takes what was read from a document, by its category. Of a date that was read
// twice, and differently, nobody knows which is right.
func readExtracted(v *identity.Verification, category, content *strictjson.Value) {
	switch name, _ := category.Text(); strings.ToLower(string(name)) {
	case "first name":
		first(&v.FirstName, wire.Text(content))
	case "last name":
		first(&v.LastName, wire.Text(content))
	case "document number":
		first(&v.DocumentNumber, wire.Text(content))
	case "document type":
		first(&v.DocumentType, wire.Text(content))
	case "nationality":
		first(&v.Nationality, wire.Country(wire.Text(content)))
	case "date of birth":
		agree(&v.DateOfBirth, wire.Date(content))
	case "date of expiry":
		agree(&v.DocumentExpiry, wire.Date(content))
	}
}

func first(field *string, text string) {
	if *field == "" {
		*field = text
	}
}

func agree(field *identity.Date, d identity.Date) {
	switch {
	case field.IsZero():
		*field = d
	case !d.IsZero() && d != *field:
		*field = identity.UnreadableDate
	}
}

func readConcern(v *strictjson.Value) (identity.Concern, bool) {
	return identity.Concern{
		ID:      wire.Cut(wire.Text(v.Get("id"))),
		Service: wire.Cut(wire.Text(v.Get("service"))),
		Status:  wire.Cut(wire.Text(v.Get("status"))),
		Message: wire.Cut(wire.Text(v.Get("message"))),
	}, v.IsObject()
}

func readLabels(labels *strictjson.Value) map[string]string {
	var all map[string]string
	for m := range labels.Members() {
		if value, ok := m.Text(); ok {
			if all == nil {
				all = map[string]string{}
			}
			all[m.Name()] = string(value)
		}
	}
	return all
}
