-- Not by force: whoever has connected since goes on.
DROP DATABASE IF EXISTS {name}
