// Package okidqr draws the QR code with which users go on with a verification on their phone:
//
//	kit, err := okidhttp.New(okidhttp.Config{QRCode: okidqr.SVG, ...})
//
// It is apart from the kit, so that who does without it does without the library that draws.
package okidqr

import (
	"fmt"

	goqr "github.com/piglig/go-qr"
)

const (
	// scale is how many units of the drawing a module has. Readers need four modules of white around
	// the code.
	scale  = 4
	border = 4 * scale
)

// SVG returns a QR code as an SVG, black on white, for [okidhttp.Config]. It is safe for concurrent
// use. The error says that the text is too long, from 2 300 bytes on.
func SVG(text string) ([]byte, error) {
	code, err := goqr.EncodeText(text, goqr.Medium)
	if err != nil {
		return nil, fmt.Errorf("okidqr: %w", err)
	}
	svg, err := code.ToSVGBytes(goqr.NewQrCodeImgConfig(scale, border, goqr.WithOptimalSVG()))
	if err != nil {
		return nil, fmt.Errorf("okidqr: %w", err)
	}
	return svg, nil
}
