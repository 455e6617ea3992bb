//! A table as a picture: lines over logarithmic axes, an SVG file below the folder that `FWC_PLOTS` names.

use std::path::PathBuf;

use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color, IntoDrawingArea, IntoLogRange, LineSeries, PathElement, RGBColor,
    SVGBackend, SeriesLabelPosition, WHITE,
};

/// Colours that colour-blind readers tell apart (Okabe and Ito 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// What one side costs as the number of flows grows.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its name.
    pub(crate) name: String,
    /// Flows, and what they cost; ascending.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Adds a point to the line of a name.
pub(crate) fn add(lines: &mut Vec<Line>, name: &str, flows: usize, cost: f64) {
    let point = (flows as f64, cost);
    match lines.iter_mut().find(|line| line.name == name) {
        Some(line) => line.points.push(point),
        None => lines.push(Line { name: name.to_owned(), points: vec![point] }),
    }
}

/// Draws the lines, where a folder for pictures is named and there is something to draw.
pub(crate) fn draw(file: &str, title: &str, unit: &str, lines: &[Line]) {
    let Some(folder) = std::env::var_os("FWC_PLOTS").map(PathBuf::from) else { return };
    let all: Vec<(f64, f64)> = lines.iter().flat_map(|line| line.points.iter().copied()).collect();
    if all.is_empty() {
        return;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(file);
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, 0.0f64), |(least, most), value| (least.min(value), most.max(value)))
    };
    let (x, y) = (ends(&mut all.iter().map(|p| p.0)), ends(&mut all.iter().map(|p| p.1)));
    let area = SVGBackend::new(&path, (860, 480)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((x.0 * 0.8..x.1 * 1.25).log_scale(), (y.0 * 0.7..y.1 * 1.4).log_scale())
        .unwrap();
    chart.configure_mesh().x_desc("flows").y_desc(unit).draw().unwrap();
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        let key = move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], style);
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style))
            .unwrap()
            .label(&line.name)
            .legend(key);
        chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, colour.filled()))).unwrap();
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()
        .unwrap();
    area.present().unwrap();
    println!("drawn: {}", path.display());
}
