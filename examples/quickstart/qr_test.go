package main

import (
	"bytes"
	"context"
	"image/png"
	"testing"

	"github.com/chromedp/chromedp"
	goqr "github.com/piglig/go-qr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidqr"
)

// scans reads the QR code that the user's screen shows.
func (u *user) scans() (text string) {
	u.t.Helper()
	u.do("see the code", chromedp.WaitVisible(`[data-when="open"] img.code`))
	ctx, cancel := context.WithTimeout(u.tab, stepTimeout)
	defer cancel()
	screen, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	require.NoError(u.t, err)
	picture, err := png.Decode(bytes.NewReader(screen))
	require.NoError(u.t, err)
	text, err = goqr.Decode(picture)
	require.NoError(u.t, err)
	return text
}

// Who has begun at a desk goes on with the same attempt on the phone, once they are logged in there,
// and the desk's page moves on.
func testPhoneByQRCode(t *testing.T, chromium context.Context) {
	w := site{configure: func(c *okidhttp.Config) { c.QRCode = okidqr.SVG }}.run(t)
	desk := visit(t, chromium, w, "olga")
	desk.resize(1200, 1200, "dark")
	desk.comes()
	desk.click("Start verification")
	desk.click("Close the verification")
	desk.do("unfold the code", chromedp.Click(`[data-when="open"] summary`))
	link := desk.scans()
	begun := <-w.starts
	assert.Contains(t, link, w.url+"/verify/page?attempt=")

	phone := visit(t, chromium, w, "olga")
	phone.forgive("status of 401") // of who is not logged in yet
	phone.open(link)
	phone.sees("Please log in")
	phone.open("/home")
	phone.submit("/login", "user", "olga")
	phone.open(link)
	phone.click("Begin")
	phone.click("Verified by passport")
	phone.isMember()
	desk.isMember()
	assert.NotEmpty(t, begun.token)
	assert.Empty(t, w.starts, "it was the same attempt")
}
