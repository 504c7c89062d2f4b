"""Spark: proteins and mean norm per input file, and how much all vectors point the same way.

    python examples/analytics/spark_norms.py out

Needs ``pyspark`` and Java. What is computed runs in the JVM, with no Python for each row.
"""

from __future__ import annotations

import argparse

from committed_parts import committed_parts
from pyspark.ml.feature import Normalizer
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.stat import Summarizer
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812, as Spark's own documentation has it


def norm(vector: str) -> Column:
    """Returns the norm of a column of arrays, without a Python function for each row."""
    start = F.lit(0.0)
    # The elements are floats; without the cast the squares are added up as such.
    return F.sqrt(F.aggregate(vector, start, lambda total, x: total + x.cast("double") * x))


def per_file(rows: DataFrame) -> DataFrame:
    """Returns a row for each input file."""
    return (
        rows.groupBy("source")
        .agg(F.count("*").alias("proteins"), F.mean(norm("embedding")).alias("mean_norm"))
        .orderBy("source")
    )


def unit_vectors(rows: DataFrame) -> DataFrame:
    """Returns id, and ``unit``: an ML vector of length 1, float64 as all of Spark ML."""
    # Spark reads array<float>, without the length; its ML takes vectors alone.
    vectors = rows.select("id", array_to_vector("embedding").alias("vector"))
    return Normalizer(inputCol="vector", outputCol="unit").transform(vectors).drop("vector")


def main() -> None:
    """Prints the table and the length of the mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", metavar="OUTPUT", type=committed_parts)
    args = parser.parse_args()
    spark = SparkSession.builder.appName("norms").getOrCreate()
    # The names, not the folder, which may hold what does not count.
    rows = spark.read.parquet(*args.parts)
    per_file(rows).show(truncate=False)
    units = unit_vectors(rows)
    mean = units.select(Summarizer.mean(units["unit"])).first()[0]
    print(f"length of the mean of all unit vectors, 1 if all are the same: {mean.norm(2):.3f}")
    # What is written should be an array of floats again: no other tool reads an ML vector.
    units.withColumn("unit", vector_to_array("unit", "float32")).printSchema()
    spark.stop()


if __name__ == "__main__":
    main()
