package main

import (
	"image/color"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A series is one line of a plot.
type series struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

// colours are Okabe and Ito's, which colour-blind readers can tell apart.
var colours = []color.Color{
	color.RGBA{R: 0x00, G: 0x72, B: 0xB2, A: 0xFF},
	color.RGBA{R: 0xD5, G: 0x5E, B: 0x00, A: 0xFF},
	color.RGBA{R: 0x00, G: 0x9E, B: 0x73, A: 0xFF},
	color.RGBA{R: 0xCC, G: 0x79, B: 0xA7, A: 0xFF},
	color.RGBA{R: 0xE6, G: 0x9F, B: 0x00, A: 0xFF},
	color.RGBA{R: 0x56, G: 0xB4, B: 0xE9, A: 0xFF},
	color.RGBA{A: 0xFF},
}

// plotLines writes an SVG file with both axes logarithmic. A point that is not above 0 is left
// out, and so is a series without points; without any there is no file, and drawn is false.
func plotLines(file, title, x, y string, all []series) (drawn bool, err error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	legend := plot.NewLegend() // beside the plot, which it would hide
	legend.Top, legend.Left, legend.Padding = true, true, vg.Points(4)
	legend.TextStyle.Font.Size = vg.Points(10)
	p.Add(plotter.NewGrid())
	for i, s := range all {
		var points plotter.XYs
		for _, at := range s.points {
			if at.x > 0 && at.y > 0 {
				points = append(points, plotter.XY{X: at.x, Y: at.y})
			}
		}
		if points == nil {
			continue
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return false, err
		}
		line.Color, marks.Color = colours[i%len(colours)], colours[i%len(colours)]
		line.Width, marks.Shape = vg.Points(1.5), draw.CircleGlyph{}
		if i >= len(colours) { // a colour that was there before
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		p.Add(line, marks)
		legend.Add(s.name, line, marks)
		drawn = true
	}
	if !drawn {
		return false, nil
	}
	p.X.Min, p.X.Max = decades(p.X.Min, p.X.Max)
	p.Y.Min, p.Y.Max = decades(p.Y.Min, p.Y.Max)
	const left, height, gap = 16 * vg.Centimeter, 11 * vg.Centimeter, vg.Centimeter / 2
	right := gap + legend.Rectangle(draw.New(vgsvg.New(left, height))).Size().X + gap
	canvas := vgsvg.New(left+right, height)
	c := draw.New(canvas)
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	p.Draw(draw.Crop(c, 0, -right, 0, 0))
	legend.Draw(draw.Crop(c, left+gap, 0, 0, -vg.Centimeter))
	f, err := os.Create(file)
	if err != nil {
		return false, err
	}
	if _, err := canvas.WriteTo(f); err != nil {
		return false, err
	}
	return true, f.Close()
}

// decades widens a range to whole powers of ten.
func decades(least, most float64) (float64, float64) {
	return math.Pow(10, math.Floor(math.Log10(least))), math.Pow(10, math.Ceil(math.Log10(most*1.0001)))
}
