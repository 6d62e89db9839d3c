package portal

// KeyHeader carries the API key.
const KeyHeader = "X-SDK-Key"

// MetadataReference is the member of extra_data that carries the reference.
const MetadataReference = "reference"

// GenerateRequest is the body of POST /api/generate-verification. Of the two forms that okID
// shows, this is the one in its API reference (https://docs.okid.io/docs/api-reference).
type GenerateRequest struct {
	ExtraData map[string]string `json:"extra_data"`
	ReturnURL string            `json:"return_url,omitempty"`
}

// The words of a verification's status. Those up to StatusJunk are the vendor's own
// (https://github.com/bluem-development/okID-iOS-SDK); the last two appear as words for a result
// (https://docs.okid.io/docs/integration).
const (
	StatusGenerated         = "generated"
	StatusInitiated         = "initiated"
	StatusInProgress        = "in_progress"
	StatusValidating        = "validating"
	StatusNeedsManualReview = "needs_manual_review"
	StatusNeedsTemplate     = "needs_template"
	StatusVerified          = "verified"
	StatusRejected          = "rejected"
	StatusExpired           = "expired"
	StatusJunk              = "junk"
	StatusDocumentExpired   = "document_expired"
	StatusFailed            = "failed"
)
