package okid

import (
	"crypto/sha256"
	"errors"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
	"github.com/okidkit/okidkit/internal/wire"
)

// unknownEvent stands in notices for every event that is not documented, so that
// logs and metrics hold no text that somebody else chose.
const unknownEvent = "unknown"

// errID is what is wrong with an id that cannot be one.
var errID = errors.New(`id of the verification is not 1 to 128 letters, digits, "-" and "_"`)

// What is read of okID's answers. The objects in which the event, the id, the status
// and the reference stand decide; what is odd elsewhere costs no more than the field
// that it is in. The names are those of [VerificationBody].
var (
	verificationShape = &strictjson.Shape{Strict: true, Canonical: true, Members: []strictjson.Member{
		{Name: "id"}, {Name: "status"}, {Name: "created_at"}, {Name: "completed_at"}, {Name: "document_type"},
		{Name: "verification_details", Shape: &strictjson.Shape{Members: []strictjson.Member{
			{Name: "first_name"}, {Name: "last_name"}, {Name: "document_number"}, {Name: "expiry_date"}, {Name: "date_of_birth"},
		}}},
		{Name: "metadata", Shape: &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: MetadataReference}}, Others: maxMetadata}},
	}}
	webhookShape  = &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: "event"}, {Name: "data", Shape: verificationShape}}}
	generateShape = &strictjson.Shape{Members: []strictjson.Member{{Name: "metadata", Shape: &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: MetadataReference}}}}}}
	sessionShape  = &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: "process_token"}, {Name: "expires_at"}}}
)

// maxMetadata is how many members of metadata are read beside the reference.
const maxMetadata = 1000

// readWebhook reads the body of a webhook.
func readWebhook(root *strictjson.Value) (identity.Notice, error) {
	event, ok := root.Get("event").Text()
	if !ok {
		return identity.Notice{}, errors.New("event is not a string")
	}
	data := root.Get("data")
	notice, word, err := readVerification(data)
	if err != nil {
		return identity.Notice{}, err
	}
	notice.Event, notice.Verification.Status = statusOfEvent(event, word)
	notice.Digest = digest(notice.Verification.ID, event, data)
	return notice, nil
}

// readFetched reads the answer to a question about one verification.
func readFetched(root *strictjson.Value) (identity.Notice, error) {
	notice, word, err := readVerification(root)
	if err != nil {
		return identity.Notice{}, err
	}
	notice.Verification.Status = statusOfWord(word)
	return notice, nil
}

// readVerification reads the object that tells about one verification, and the
// word that it uses for the status.
func readVerification(data *strictjson.Value) (notice identity.Notice, word []byte, err error) {
	id, _ := data.Get("id").Text()
	status, details, metadata := data.Get("status"), data.Get("verification_details"), data.Get("metadata")
	reference := metadata.Get(MetadataReference)
	word, isText := status.Text()
	referenceText, isReference := reference.Text()
	switch {
	case !wire.ValidID(id):
		return notice, nil, errID
	case !isText && !status.Absent():
		return notice, nil, errors.New("status is not a string")
	case !metadata.IsObject() && !metadata.Absent():
		return notice, nil, errors.New("metadata is not an object")
	case !isReference && !reference.Absent():
		return notice, nil, errors.New("reference is not a string")
	}
	return identity.Notice{
		Provider: Name,
		Verification: identity.Verification{
			ID:             string(id),
			CreatedAt:      wire.Instant(data.Get("created_at")),
			CompletedAt:    wire.Instant(data.Get("completed_at")),
			DocumentType:   wire.Text(data.Get("document_type")),
			DocumentExpiry: wire.Date(details.Get("expiry_date")),
			FirstName:      wire.Text(details.Get("first_name")),
			LastName:       wire.Text(details.Get("last_name")),
			DocumentNumber: wire.Text(details.Get("document_number")),
			DateOfBirth:    wire.Date(details.Get("date_of_birth")),
		},
		Reference: string(referenceText),
		Metadata:  otherMetadata(metadata),
	}, word, nil
}

// otherMetadata is what stands in metadata beside the reference, as far as it is
// text.
func otherMetadata(metadata *strictjson.Value) map[string]string {
	var other map[string]string
	for m := range metadata.Members() {
		value, ok := m.Text()
		if !ok || m.Name() == MetadataReference {
			continue
		}
		if other == nil {
			other = make(map[string]string)
		}
		other[m.Name()] = string(value)
	}
	return other
}

// statusOfEvent is the event as notices name it, and the status that it stands
// for together with the word of data.status, which is empty if there is none.
func statusOfEvent(event, word []byte) (string, identity.Status) {
	var name string
	var status identity.Status
	switch string(event) {
	case EventStarted:
		name, status = EventStarted, identity.Started
	case EventCompleted:
		name, status = EventCompleted, identity.Verified
	case EventFailed:
		name, status = EventFailed, identity.Failed
	case EventExpired:
		name, status = EventExpired, identity.Expired
	default:
		return unknownEvent, ""
	}
	switch said := statusOfWord(word); {
	case said == status:
		return name, status
	case said == "" && status != identity.Verified:
		// The words but "completed" are guesses. One that we do not know does not
		// contradict an event that opens nothing.
		return name, status
	}
	return name, ""
}

// statusOfWord is the status that a word of data.status stands for by itself.
func statusOfWord(word []byte) identity.Status {
	switch string(word) {
	case StatusStarted:
		return identity.Started
	case StatusCompleted:
		return identity.Verified
	case StatusFailed:
		return identity.Failed
	case StatusExpired:
		return identity.Expired
	}
	return ""
}

// digest is the same for the same event about the same verification with equal
// data, however the JSON is written. What stands beside event and data, such as
// a count of deliveries, does not matter.
func digest(id string, event []byte, data *strictjson.Value) [sha256.Size]byte {
	var buf [1024]byte // enough for the usual event
	b := strictjson.AppendText(buf[:0], Name)
	b = strictjson.AppendText(b, id)
	b = strictjson.AppendText(b, event)
	return sha256.Sum256(data.AppendCanonical(b))
}
