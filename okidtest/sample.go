package okidtest

import (
	"time"

	"github.com/okidkit/okidkit/okid"
)

// Passport is what okID tells about Jane Roe, who does not exist, after she
// showed her passport: completed at now, and valid for five more years. It
// carries no metadata.
func Passport(now time.Time) okid.VerificationBody {
	return sample(now, "passport")
}

// IDCard is Passport with an identity card instead.
func IDCard(now time.Time) okid.VerificationBody {
	return sample(now, "id-card")
}

func sample(now time.Time, document string) okid.VerificationBody {
	now = now.UTC()
	return okid.VerificationBody{
		ID:           "ver_0a1b2c3d4e5f6g7h8i9j",
		Status:       okid.StatusCompleted,
		CreatedAt:    now.Add(-2 * time.Minute).Format(time.RFC3339),
		CompletedAt:  now.Format(time.RFC3339),
		DocumentType: document,
		VerificationDetails: &okid.DetailsBody{
			FirstName:      "Jane",
			LastName:       "Roe",
			DocumentNumber: "Z000001",
			ExpiryDate:     now.AddDate(5, 0, 0).Format(time.DateOnly),
			DateOfBirth:    "1990-02-03",
		},
	}
}
