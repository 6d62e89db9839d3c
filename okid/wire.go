package okid

// The wire names of okID's Verification API v1.
//
// Source, unless a comment says otherwise: https://www.okid.io/developer.

const (
	// SignatureHeader carries the HMAC-SHA256 of the payload.
	SignatureHeader = "X-okID-Signature"
	// TimestampHeader carries the time at which the webhook was sent.
	TimestampHeader = "X-okID-Timestamp"
	// KeyHeader carries the API key on every call to the server API.
	KeyHeader = "X-SDK-Key"
)

// The events of webhooks.
const (
	EventStarted   = "verification.started"
	EventCompleted = "verification.completed"
	EventFailed    = "verification.failed"
	EventExpired   = "verification.expired"
)

// The words of a verification's status. Only StatusCompleted is documented; the
// others are inferred from the names of the events.
const (
	StatusStarted   = "started"
	StatusCompleted = "completed"
	StatusFailed    = "failed"
	StatusExpired   = "expired"
)

// MetadataReference is the member of metadata that carries the reference. It is
// the only thing that ties a verification to the call that asked for it, since
// generate returns no id.
const MetadataReference = "reference"

// GenerateRequest is the body of POST /v1/verification/generate.
type GenerateRequest struct {
	Metadata    map[string]string `json:"metadata"`
	CallbackURL string            `json:"callback_url,omitempty"`
	SuccessURL  string            `json:"success_url,omitempty"`
	ErrorURL    string            `json:"error_url,omitempty"`
}

// GenerateResponse is its answer.
type GenerateResponse struct {
	ProcessToken string `json:"process_token"`
	ExpiresAt    string `json:"expires_at"` // RFC 3339
}

// VerificationBody is the answer of GET /v1/verification/:id, and the data of a
// webhook. Only ID is sure to be there in every event.
type VerificationBody struct {
	ID                  string            `json:"id"`
	Status              string            `json:"status,omitempty"`
	CreatedAt           string            `json:"created_at,omitempty"`   // RFC 3339
	CompletedAt         string            `json:"completed_at,omitempty"` // RFC 3339
	DocumentType        string            `json:"document_type,omitempty"`
	VerificationDetails *DetailsBody      `json:"verification_details,omitempty"`
	Metadata            map[string]string `json:"metadata,omitempty"`
}

// DetailsBody is the personal part of a [VerificationBody].
type DetailsBody struct {
	FirstName      string `json:"first_name,omitempty"`
	LastName       string `json:"last_name,omitempty"`
	DocumentNumber string `json:"document_number,omitempty"`
	ExpiryDate     string `json:"expiry_date,omitempty"`   // YYYY-MM-DD
	DateOfBirth    string `json:"date_of_birth,omitempty"` // YYYY-MM-DD
}

// WebhookBody is the body of a webhook.
type WebhookBody struct {
	Event string           `json:"event"`
	Data  VerificationBody `json:"data"`
}
