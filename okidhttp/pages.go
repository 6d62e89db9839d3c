package okidhttp

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/text"
)

// Frame is what the templates of all pages get. See [Config.Pages].
type Frame struct {
	// Nonce must be the nonce attribute of every script, style and link element, since the
	// Content-Security-Policy allows no others.
	Nonce string
	// Language is the language of the texts, such as "nl", for the lang attribute. Direction
	// is "ltr" or "rtl", for dir.
	Language, Direction string
	// Brand is Config.Brand.
	Brand Brand

	texts *text.Catalog
}

// T returns the translation of one of the kit's English texts into the language of the page.
// It returns any other text as it is. See [Config.Texts].
func (f *Frame) T(english string) string { return f.texts.Translate(f.Language, english) }

func (f *Frame) frame() *Frame { return f }

// StartPage is the data of start.html, to which the gate leads.
type StartPage struct {
	Frame
	// Last is the status of the user's last attempt, and empty if there is none. Title,
	// Message and Button are English texts, for T, that go with it.
	Last                   identity.Status
	Title, Message, Button string
	// Reason says why that attempt was refused, in the language of the page. It is empty if
	// that is not known.
	Reason string
	// StartURL is where the button posts to, with ReturnTo as return_to, and Locale, the
	// provider's language, as locale.
	StartURL, ReturnTo, Locale string
	// Provider is the name of the provider, as people know it. LeaveURL is where those go who
	// would rather not be verified now.
	Provider, LeaveURL string
	// SupportCode names the last attempt in the host's log. It is empty if there is none.
	SupportCode string
	// Renew says that the button is for another verification, though one stands: it must post
	// renew=1 as well. StartURL is empty if no other verification would help, or if the user
	// may not begin one yet.
	Renew bool
}

// SDKPage is the data of sdk.html, which hands the user over to the provider. The template
// sdk.js does the work. Of the elements with the attribute data-when it shows those with one
// value: wait, open, trouble or unsent. It shows elements with data-without-camera if the
// browser has no camera to offer, and a click on one with data-resend sends again what is
// unsent.
type SDKPage struct {
	Frame
	// Started is what the client module needs to know of the attempt, as [Kit.Start] answers.
	Started startedBody
	// ClientURL is the client module; see [Kit.Client].
	ClientURL string
	// SuccessURL is where the user goes afterwards, and RetryURL is this page.
	SuccessURL, RetryURL string
	// SupportCode names the attempt in the host's log.
	SupportCode string
	// PhoneCode is an image, as a data: URL, of a QR code that leads to this page. It is empty without
	// [Config.QRCode].
	PhoneCode template.URL
}

// PendingPage is the data of pending.html, which waits for the verdict. The template pending.js
// moves on as soon as there is one, and shows the element with the id slow after ten seconds.
type PendingPage struct {
	Frame
	// Review says that a person at the provider looks at it, which may take days.
	Review bool
	// Stopped says that the user may not have finished: the provider's flow ended with an
	// error, or they came to the gate again.
	Stopped bool
	// ClientURL is the client module, which follows Attempt; see [Kit.Client].
	ClientURL, Attempt string
	// NextURL is where to go when the attempt's status is final. ResumeURL is where a user goes
	// on who did not finish, and AgainURL is where they begin another attempt; one of them is
	// empty.
	NextURL, ResumeURL, AgainURL string
	// SupportCode names the attempt in the host's log.
	SupportCode string
	// PhoneCode is an image, as a data: URL, of a QR code that leads to ResumeURL. It is empty without
	// [Config.QRCode].
	PhoneCode template.URL
}

// MessagePage is the data of message.html, which says one thing.
type MessagePage struct {
	Frame
	// Kind is "verified", "stranger" (whoever opens the link of an attempt that is
	// not theirs, or where they are not logged in), "login" and "leave" (they lead to the log-in, and to the
	// provider's page, by themselves), "refused" (no other try is possible) or "error".
	Kind string
	// Title, Message and Button are English texts, for T.
	Title, Message, Button string
	// Reason says why the user was refused, in the language of the page. It is empty if that
	// is not known, or if nobody was.
	Reason string
	// NextURL is where the button leads. If empty, there is none.
	NextURL string
	// SupportCode names the attempt that was refused in the host's log. It is empty if there
	// is none.
	SupportCode string
}

// pageData is the data of one kind of page.
type pageData interface {
	frame() *Frame
	// template is the name of its file.
	template() string
	// sources is what its Content-Security-Policy allows beside the page itself.
	sources() identity.Sources
	// referrerPolicy is its Referrer-Policy.
	referrerPolicy() string
}

func (*StartPage) template() string   { return "start.html" }
func (*SDKPage) template() string     { return "sdk.html" }
func (*PendingPage) template() string { return "pending.html" }
func (*MessagePage) template() string { return "message.html" }

func (f *Frame) sources() identity.Sources   { return identity.Sources{} }
func (p *SDKPage) sources() identity.Sources { return p.Started.SDK.Sources }

func (f *Frame) referrerPolicy() string { return "no-referrer" }

// With no-referrer the button's request would carry the origin "null", and older
// browsers, which send no Sec-Fetch-Site, would be refused.
func (*StartPage) referrerPolicy() string { return "same-origin" }

//go:embed pages
var pageFiles embed.FS

var ownPages = parsePages()

func parsePages() *template.Template { return template.Must(template.ParseFS(pageFiles, "pages/*")) }

// replaceable are the templates that a host may have instead of the kit's.
var replaceable = []string{"start.html", "sdk.html", "pending.html", "message.html", "style.css"}

// pagesWith are the kit's pages with those that the host has replaced. It finds
// out whether all of them can be shown.
func pagesWith(host *template.Template, texts *text.Catalog) (*template.Template, error) {
	if host == nil {
		return ownPages, nil
	}
	pages, err := host.Clone()
	if err != nil {
		return nil, errors.New("has been executed already: give it to New first")
	}
	replaced := 0
	for _, name := range replaceable {
		if pages.Lookup(name) != nil {
			replaced++
		}
	}
	if replaced == 0 {
		return nil, fmt.Errorf("has none of the templates %s", strings.Join(replaceable, ", "))
	}
	for _, t := range parsePages().Templates() {
		if pages.Lookup(t.Name()) == nil && t.Tree != nil {
			if _, err := pages.AddParseTree(t.Name(), t.Tree); err != nil {
				return nil, err
			}
		}
	}
	const somewhere = "https://app.example/"
	for _, sample := range []pageData{
		&StartPage{Title: "T", Message: "M", Button: "B", StartURL: somewhere, Provider: "P", LeaveURL: somewhere},
		&StartPage{Last: identity.Failed, Title: "T", Message: "M", Button: "B", Reason: "R", StartURL: somewhere, Provider: "P", LeaveURL: somewhere, SupportCode: "S"},
		&StartPage{Last: identity.Review, Title: "T", Message: "M", Button: "B", StartURL: somewhere, ReturnTo: "/", Locale: "en"},
		&SDKPage{ClientURL: somewhere, PhoneCode: "data:,", SuccessURL: somewhere, RetryURL: somewhere, SupportCode: "S"},
		&SDKPage{ClientURL: somewhere, SuccessURL: somewhere, RetryURL: somewhere, SupportCode: "S"},
		&PendingPage{ClientURL: somewhere, NextURL: somewhere, ResumeURL: somewhere, SupportCode: "S"},
		&PendingPage{Stopped: true, ClientURL: somewhere, NextURL: somewhere, ResumeURL: somewhere, SupportCode: "S"},
		&PendingPage{Review: true, ClientURL: somewhere, NextURL: somewhere, AgainURL: somewhere, SupportCode: "S"},
		&MessagePage{Kind: "error", Title: "T", Message: "M"},
		&MessagePage{Kind: "refused", Title: "T", Message: "M", Reason: "R", SupportCode: "S"},
		&MessagePage{Kind: "stranger", Title: "T", Message: "M", Button: "B", NextURL: somewhere},
	} {
		*sample.frame() = Frame{Nonce: "N", Language: text.English, Direction: "ltr", texts: texts}
		if err := pages.ExecuteTemplate(io.Discard, sample.template(), sample); err != nil {
			return nil, fmt.Errorf("cannot be shown: %w", err)
		}
	}
	return pages, nil
}

// phoneCode is an image of a QR code that leads to a page of the kit's, or "" if there is none.
func (k *answers) phoneCode(r *http.Request, url string) template.URL {
	if k.cfg.QRCode == nil {
		return ""
	}
	svg, err := k.cfg.QRCode(url)
	if err != nil {
		k.engine.Line(r.Context(), slog.LevelWarn, "qr", "okidhttp: QR code cannot be drawn", "error", err)
		return ""
	}
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg))
}

// render writes a page.
func (k *answers) render(w http.ResponseWriter, r *http.Request, status int, p pageData) {
	language := k.language(r)
	nonce := rand.Text()
	*p.frame() = Frame{Nonce: nonce, Language: language, Direction: text.Direction(language), Brand: k.cfg.Brand, texts: k.texts}
	var body bytes.Buffer
	if err := k.cfg.Pages.ExecuteTemplate(&body, p.template(), p); err != nil {
		k.engine.Line(r.Context(), slog.LevelError, "page", "okidhttp: page cannot be rendered", "error", err)
		http.Error(w, problemInternal.Title, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentSecurityPolicy(nonce, p.sources(), k.cfg.Brand.origin()))
	h.Set("Permissions-Policy", permissionsPolicy(p.sources().Frame))
	noStore(h)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", p.referrerPolicy())
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the client is gone
}

// language returns the language in which to speak to the user of a request.
func (k *answers) language(r *http.Request) string {
	if k.cfg.Language != nil {
		if language := k.texts.Match(k.cfg.Language(r)); language != "" {
			return language
		}
	}
	return k.texts.Accept(r.Header.Get("Accept-Language"))
}

func contentSecurityPolicy(nonce string, s identity.Sources, logo string) string {
	own := "'nonce-" + nonce + "'"
	list := func(first string, more ...string) string {
		return strings.TrimRight(first+" "+strings.Join(more, " "), " ")
	}
	frame := "'none'"
	if len(s.Frame) > 0 {
		frame = strings.Join(s.Frame, " ")
	}
	return strings.Join([]string{
		"default-src 'none'",
		"base-uri 'none'",
		"form-action 'self'",
		"frame-ancestors 'none'",
		"script-src " + list(own, s.Script...),
		"style-src " + list(own, s.Style...),
		"connect-src " + list("'self'", s.Connect...),
		"img-src " + list("'self' data:", append([]string{logo}, s.Image...)...),
		"font-src 'self'",
		"frame-src " + frame,
	}, "; ")
}

// permissionsPolicy gives the camera to a page that has frames of the provider's,
// and to these.
func permissionsPolicy(frames []string) string {
	if len(frames) == 0 {
		return "camera=(), microphone=(), geolocation=()"
	}
	allowed := "self"
	for _, origin := range frames {
		if u, err := url.Parse(origin); err == nil && u.Host != "" {
			allowed += ` "` + origin + `"`
		}
	}
	return "camera=(" + allowed + "), microphone=(" + allowed + "), fullscreen=(" + allowed + "), geolocation=()"
}
