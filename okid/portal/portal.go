package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
	"github.com/okidkit/okidkit/internal/wire"
)

// Start asks the portal for a verification, with POST /api/generate-verification. The reference is
// sent as extra_data.reference, beside r.Metadata; the portal sends the user to r.SuccessURL
// afterwards, whatever came of it. Where webhooks go is set in okID's dashboard, and not here.
//
// A request that could not come back unharmed is [identity.ErrMalformed], and is not sent. Other
// errors are as [identity.Provider] says.
func (p *Provider) Start(ctx context.Context, r identity.StartRequest) (identity.Session, error) {
	body, err := generateBody(r)
	if err != nil {
		return identity.Session{}, fmt.Errorf("okidportal: %w: %w", identity.ErrMalformed, err)
	}
	answer, err := p.api.Begin(ctx, p.url.String()+"/api/generate-verification", body)
	if err != nil {
		return identity.Session{}, err
	}
	session, err := strictjson.Read(answer, sessionShape, func(root *strictjson.Value) (identity.Session, error) {
		id, _ := root.Get("verificationId").Text()
		if !wire.ValidID(id) {
			return identity.Session{}, errors.New(`verificationId is not 1 to 128 letters, digits, "-" and "_"`)
		}
		return identity.Session{ID: string(id), Token: string(id), ExpiresAt: wire.Instant(root.Get("expiresAt"))}, nil
	})
	if err != nil {
		return identity.Session{}, fmt.Errorf("okidportal: %w: %w: %w", identity.ErrRefused, identity.ErrUncertain, err)
	}
	if session.ExpiresAt.IsZero() {
		session.ExpiresAt = p.api.Now().Add(DefaultSessionTime)
	}
	return session, nil
}

var sessionShape = &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: "verificationId"}, {Name: "expiresAt"}}}

func generateBody(r identity.StartRequest) ([]byte, error) {
	if r.Reference == "" {
		return nil, errors.New("reference is empty")
	}
	if _, ok := r.Metadata[MetadataReference]; ok {
		return nil, errors.New("metadata has a member named reference, too")
	}
	extra := map[string]string{MetadataReference: r.Reference}
	maps.Copy(extra, r.Metadata)
	valid := utf8.ValidString(r.SuccessURL)
	for key, value := range extra {
		valid = valid && utf8.ValidString(key) && utf8.ValidString(value)
	}
	if !valid {
		return nil, errors.New("request is not valid UTF-8") // encoding/json would replace what is not
	}
	body, err := json.Marshal(GenerateRequest{ExtraData: extra, ReturnURL: r.SuccessURL})
	if err != nil {
		return nil, err
	}
	shape := &strictjson.Shape{Members: []strictjson.Member{{Name: "extra_data", Shape: extraShape}}}
	return strictjson.Read(body, shape, func(*strictjson.Value) ([]byte, error) { return body, nil })
}

// SDK is the portal's page for the session. With [Config.UseSDK] it says how a page opens the
// portal over itself; what a Content-Security-Policy must allow for that is not documented, and
// the sources are the portal's origin.
//
// Source: https://docs.okid.io/docs/integration.
func (p *Provider) SDK(s identity.Session, locale string) identity.SDK {
	if !p.useSDK {
		return identity.SDK{URL: p.url.String() + "/verify?verification_id=" + url.QueryEscape(s.Token)}
	}
	here := []string{wire.Origin(p.url)}
	return identity.SDK{
		ScriptURL: p.url.String() + "/verification-sdk.js",
		Config: map[string]any{
			"baseUrl":        p.url.String(),
			"verificationId": s.Token,
			"locale":         wire.Locale(locale, "en"),
			"styleUrl":       p.url.String() + "/modal.css",
		},
		Boot:    boot,
		Sources: identity.Sources{Script: here, Style: here, Connect: here, Frame: here, Image: here},
	}
}

// boot takes onSuccess for the end, whatever status it tells, since an older portal calls it for a
// review, too: the kit asks the portal in either case. It does not listen to onClose, since the page
// offers to open the portal again.
const boot = `function (config, onComplete, onError) {
  try {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = config.styleUrl;
    document.head.append(style);
    const client = new VerificationSDK({
      baseUrl: config.baseUrl,
      locale: config.locale,
      autoCloseOnReview: true,
      autoCloseOnRejection: true,
      onSuccess: function () { onComplete(); },
      onNeedsReview: function () { onComplete(); },
      onRetryRequested: onError,
      onError: onError,
    });
    client.openWithVerificationId(config.verificationId);
  } catch (error) {
    onError(error);
  }
}`

// Fetch asks the portal how a verification stands, with one
// GET /api/get-verification-details/{id}. An id that is not 1 to 128 letters, digits, "-" and "_" is
// [identity.ErrMalformed], and is not asked for. An answer about another verification, and one in
// which what decides cannot be read, is [identity.ErrRefused]. Other errors are as
// [identity.Provider] says.
//
// The status is that of the first word that the answer has for it, in "status" or, if that is an
// object, in "status.current". If there is none, if it is unknown, or if the answer has two that
// differ, the status is empty: nothing can be concluded. needs_template, for which a person must
// act, is [identity.Review]; document_expired is [identity.Failed] with that reason.
func (p *Provider) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	if !wire.ValidID(id) {
		return identity.Notice{}, fmt.Errorf("okidportal: %w: id is not 1 to 128 letters, digits, \"-\" and \"_\"", identity.ErrMalformed)
	}
	answer, err := p.api.Ask(ctx, p.url.String()+"/api/get-verification-details/"+id)
	if err != nil {
		return identity.Notice{}, err
	}
	n, err := strictjson.Read(answer, detailsShape, readDetails)
	if err == nil && n.Verification.ID != id {
		err = errors.New("answer is about another verification")
	}
	if err != nil {
		return identity.Notice{}, fmt.Errorf("okidportal: %w: %w", identity.ErrRefused, err)
	}
	return n, nil
}

var (
	extraShape  = &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: MetadataReference}}, Others: 1000}
	statusShape = &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: "current"}}}
	// exportedShape has the names under which okID's API v1 tells about the person.
	exportedShape = &strictjson.Shape{Members: []strictjson.Member{
		{Name: "first_name"}, {Name: "last_name"}, {Name: "document_number"}, {Name: "expiry_date"}, {Name: "date_of_birth"},
		{Name: "document_type"}, {Name: "nationality"}, {Name: "issuing_country"},
	}}
	detailsShape = &strictjson.Shape{Strict: true, Members: []strictjson.Member{
		{Name: "verification_id"}, {Name: "verificationId"}, {Name: "id"},
		{Name: "status", Shape: statusShape},
		{Name: "extra_data", Shape: extraShape},
		{Name: "created_at"}, {Name: "completed_at"},
		{Name: "document_type"},
		{Name: "exported_data", Shape: exportedShape},
		{Name: "verification_details", Shape: exportedShape},
		{Name: "data", Shape: &strictjson.Shape{Strict: true, Members: []strictjson.Member{
			{Name: "status", Shape: statusShape},
			{Name: "document", Shape: &strictjson.Shape{Members: []strictjson.Member{
				{Name: "results", Shape: &strictjson.Shape{Members: []strictjson.Member{{Name: "document_type"}}}},
			}}},
		}}},
	}}
)

// readDetails reads a record. Its form is that of the vendor's iOS SDK, of which nothing says
// that the server answers with it, too: what may stand in several places is looked for in all of
// them.
func readDetails(root *strictjson.Value) (n identity.Notice, err error) {
	id, err := readID(root)
	if err != nil {
		return n, err
	}
	extra := root.Get("extra_data")
	reference, isText := extra.Get(MetadataReference).Text()
	switch {
	case !extra.IsObject() && !extra.Absent():
		return n, errors.New("extra_data is not an object")
	case !isText && !extra.Get(MetadataReference).Absent():
		return n, errors.New("reference is not a string")
	}
	v := identity.Verification{ID: id, CreatedAt: wire.Instant(root.Get("created_at")), CompletedAt: wire.Instant(root.Get("completed_at"))}
	v.Status, v.Reason = readStatus(root.Get("status"), root.Get("data").Get("status"))
	found := root.Get("exported_data")
	if !found.IsObject() {
		found = root.Get("verification_details")
	}
	v.FirstName, v.LastName = wire.Text(found.Get("first_name")), wire.Text(found.Get("last_name"))
	v.DocumentNumber, v.DocumentType = wire.Text(found.Get("document_number")), wire.Text(found.Get("document_type"))
	v.DocumentExpiry, v.DateOfBirth = wire.Date(found.Get("expiry_date")), wire.Date(found.Get("date_of_birth"))
	v.Nationality = wire.Country(wire.Text(found.Get("nationality")))
	v.IssuingCountry = wire.Country(wire.Text(found.Get("issuing_country")))
	for _, other := range []*strictjson.Value{root.Get("document_type"), root.Get("data").Get("document").Get("results").Get("document_type")} {
		if v.DocumentType == "" {
			v.DocumentType = wire.Text(other)
		}
	}
	return identity.Notice{Provider: Name, Verification: v, Reference: string(reference), Metadata: readMetadata(extra)}, nil
}

// readID reads the id, which may have several names, but must be one.
func readID(root *strictjson.Value) (id string, err error) {
	for _, name := range []string{"verification_id", "verificationId", "id"} {
		v := root.Get(name)
		if v.Absent() {
			continue
		}
		text, _ := v.Text()
		if !wire.ValidID(text) || id != "" && id != string(text) {
			return "", errors.New("id of the verification cannot be read")
		}
		id = string(text)
	}
	if id == "" {
		return "", errors.New("answer does not say which verification it is about")
	}
	return id, nil
}

// readStatus is what the words for the status say together.
func readStatus(places ...*strictjson.Value) (status identity.Status, reason string) {
	said := ""
	for _, v := range places {
		if v.IsObject() {
			v = v.Get("current")
		}
		if v.Absent() {
			continue
		}
		word, ok := v.Text()
		if !ok || said != "" && said != string(word) {
			return "", "" // it is no word, or contradicts another
		}
		said = string(word)
	}
	switch said {
	case StatusGenerated:
		return identity.Created, ""
	case StatusInitiated, StatusInProgress, StatusValidating:
		return identity.Started, ""
	case StatusNeedsManualReview, StatusNeedsTemplate:
		return identity.Review, ""
	case StatusVerified:
		return identity.Verified, ""
	case StatusRejected, StatusJunk, StatusFailed:
		return identity.Failed, ""
	case StatusDocumentExpired:
		return identity.Failed, identity.ReasonDocumentExpired
	case StatusExpired:
		return identity.Expired, ""
	}
	return "", ""
}

// readMetadata is what stands in extra_data beside the reference, as far as it is text.
func readMetadata(extra *strictjson.Value) map[string]string {
	var other map[string]string
	for m := range extra.Members() {
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

// ReadHint reads a webhook of the portal's, of which nothing is documented but that extra_data
// comes back in it: at the top, or in a member named data. A body that is not a JSON object is
// [identity.ErrMalformed].
func (p *Provider) ReadHint(_ http.Header, body []byte) (identity.Hint, error) {
	hint, err := strictjson.Read(body, hintShape, func(root *strictjson.Value) (identity.Hint, error) {
		if !root.IsObject() {
			return identity.Hint{}, errors.New("it is not an object")
		}
		for _, extra := range []*strictjson.Value{root.Get("extra_data"), root.Get("data").Get("extra_data")} {
			if reference, _ := extra.Get(MetadataReference).Text(); len(reference) > 0 {
				return identity.Hint{Reference: string(reference)}, nil
			}
		}
		return identity.Hint{}, nil
	})
	if err != nil {
		return identity.Hint{}, fmt.Errorf("okidportal: %w: %w", identity.ErrMalformed, err)
	}
	return hint, nil
}

var hintShape = &strictjson.Shape{Members: []strictjson.Member{
	{Name: "extra_data", Shape: &strictjson.Shape{Members: []strictjson.Member{{Name: MetadataReference}}}},
	{Name: "data", Shape: &strictjson.Shape{Members: []strictjson.Member{
		{Name: "extra_data", Shape: &strictjson.Shape{Members: []strictjson.Member{{Name: MetadataReference}}}},
	}}},
}}
